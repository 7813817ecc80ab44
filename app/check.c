/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "archive/io.h"
#include "check.h"
#include "detect/detector.h"
#include "results/format.h"
#include "results/window.h"
#include "telemetry_group.h"

#define SIDE_MIN 1
#define SIDE_MAX 8192
#define PREFIX_MAX 200

static int check_names(const struct settings *s, struct dip_error *err)
{
	const char *prefix = s->arch.arch_output_prefix;

	if (prefix[0] == '\0' || prefix[0] == '.' || strchr(prefix, '/') != NULL ||
		strlen(prefix) > PREFIX_MAX)
		return dip_fail(err, EINVAL,
			"arch.arch_output_prefix = \"%s\": expected 1 to %d characters, no / and "
			"no "
			"leading dot",
			prefix, PREFIX_MAX);
	if (s->arch.arch_output_dir[0] == '\0')
		return dip_fail(err, EINVAL, "arch.arch_output_dir = \"\": expected a folder");
	if (s->proc.proc_output_dir[0] == '\0')
		return dip_fail(err, EINVAL, "proc.proc_output_dir = \"\": expected a folder");
	if (dip_detector_find(s->proc.detector) == NULL)
		return dip_fail(err, EINVAL, "proc.detector = \"%s\": expected one of %s",
			s->proc.detector, dip_detector_names());
	if (strcmp(s->arch.backend, "auto") != 0 && dip_io_find(s->arch.backend) == NULL)
		return dip_fail(err, EINVAL,
			"arch.backend = \"%s\": there is no such back end; expected auto or one "
			"that "
			"--list-drivers shows",
			s->arch.backend);
	return 0;
}

static int check_frame_bytes(const struct settings *s, int64_t w, int64_t h, struct dip_error *err)
{
	if (s->main.frame_bytes != 0 && w != 0 && h != 0 && s->main.frame_bytes != w * h * 2)
		return dip_fail(err, EINVAL,
			"main.frame_bytes = %" PRId64 ": expected %" PRId64 " (%" PRId64
			" x %" PRId64 " pixels of 2 bytes), or 0",
			s->main.frame_bytes, w * h * 2, w, h);
	return 0;
}

static bool can_hold_sums(const char *results)
{
	const struct dip_results_format *format = dip_results_format_find(results);

	return format != NULL && format->sums;
}

int check_settings(const struct command *command, const struct settings *s, struct dip_error *err)
{
	int64_t block = s->arch.block_bytes;

	if ((block & (block - 1)) != 0)
		return dip_fail(err, EINVAL,
			"arch.block_bytes = %" PRId64 ": expected 512, 1024, 2048 or 4096", block);
	if (command->json && s->proc.print_stdout)
		return dip_fail(err, EINVAL,
			"proc.print_stdout = true: --report json needs stdout for itself; expected "
			"one of "
			"the two");
	if (s->proc.results_window > 0 && s->proc.results_window < DIP_WINDOW_LEAST)
		return dip_fail(err, EINVAL,
			"proc.results_window = %" PRId64
			": expected 0 (as many as find room), or %d to "
			"1048576 results",
			s->proc.results_window, DIP_WINDOW_LEAST);
	if (s->proc.sums && !can_hold_sums(s->proc.results))
		return dip_fail(err, EINVAL,
			"proc.sums = true: proc.results = \"%s\" has no place for sums; expected "
			"proc.results = \"npy\", or proc.sums = false",
			s->proc.results);
	if (check_frame_bytes(s, s->main.image_w, s->main.image_h, err) < 0)
		return -EINVAL;
	if (check_names(s, err) < 0)
		return -EINVAL;
	return telemetry_group_check(s->main.telemetry_group, err);
}

static int check_side(const char *key, int64_t wanted, uint32_t there, struct dip_error *err)
{
	if (wanted != 0 && wanted != there)
		return dip_fail(err, EINVAL,
			"main.%s = %" PRId64 ": the source's frames have %" PRIu32
			"; expected that, or 0",
			key, wanted, there);
	if (there < SIDE_MIN || there > SIDE_MAX)
		return dip_fail(err, EINVAL,
			"the source's frames have an %s of %" PRIu32 "; expected %d to %d pixels",
			key, there, SIDE_MIN, SIDE_MAX);
	return 0;
}

int check_geometry(const struct settings *s, uint32_t width, uint32_t height, struct dip_error *err)
{
	if (check_side("image_w", s->main.image_w, width, err) < 0 ||
		check_side("image_h", s->main.image_h, height, err) < 0)
		return -EINVAL;
	return check_frame_bytes(s, width, height, err);
}
