/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/format.h"
#include "nexus/layout.h"

/* One of the virtual datasets: where its elements are in each record. */
struct field {
	const char *name;
	hid_t type;
	size_t size;   /* bytes of an element */
	size_t within; /* offset in a record, bytes */
	uint64_t each; /* elements in a record */
};

uint64_t dip_nexus_records(const struct dip_nexus_run *run)
{
	uint64_t n = 0;

	for (size_t i = 0; i < run->segments; i++)
		n += run->segment[i].records;
	return n;
}

static herr_t set_text(hid_t object, const char *name, const char *text)
{
	hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute;
	herr_t ret = H5Tset_size(type, strlen(text) + 1);

	attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
	if (ret >= 0)
		ret = H5Awrite(attribute, type, text);
	H5Aclose(attribute);
	H5Sclose(space);
	H5Tclose(type);
	return ret;
}

static herr_t set_number(hid_t object, const char *name, int value)
{
	hid_t space = H5Screate(H5S_SCALAR), attribute;
	herr_t ret;

	attribute = H5Acreate2(object, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
	ret = H5Awrite(attribute, H5T_NATIVE_INT, &value);
	H5Aclose(attribute);
	H5Sclose(space);
	return ret;
}

/* The axes of /entry/data/data, as NeXus lists them. */
static herr_t set_axes(hid_t group)
{
	static const char axes[3][4] = {"seq", ".", "."};
	hsize_t count = 3;
	hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &count, NULL), attribute;
	herr_t ret = H5Tset_size(type, sizeof(axes[0]));

	attribute = H5Acreate2(group, "axes", type, space, H5P_DEFAULT, H5P_DEFAULT);
	if (ret >= 0)
		ret = H5Awrite(attribute, type, axes);
	H5Aclose(attribute);
	H5Sclose(space);
	H5Tclose(type);
	return ret;
}

static hid_t make_group(hid_t parent, const char *name, const char *class)
{
	hid_t plist = H5Pcreate(H5P_GROUP_CREATE), group;

	H5Pset_obj_track_times(plist, false);
	group = H5Gcreate2(parent, name, H5P_DEFAULT, plist, H5P_DEFAULT);
	H5Pclose(plist);
	if (group >= 0 && class != NULL)
		set_text(group, "NX_class", class);
	return group;
}

/* The bytes of one segment as a dataset: from the field's first element to the last record's last,
 * in units of the field's type. */
static herr_t add_external(hid_t group, const struct dip_nexus_run *run,
	const struct dip_nexus_segment *s, const struct field *f)
{
	hsize_t count = (s->records - 1) * (run->stride / f->size) + f->each;
	off_t start = (run->npy ? DIP_HEADER_BYTES : 0) + f->within;
	hid_t space = H5Screate_simple(1, &count, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
	char path[8192];
	hid_t dataset;
	herr_t ret;

	snprintf(path, sizeof(path), "%s%s%s", run->absolute ? run->folder : "",
		run->absolute ? "/" : "", s->name);
	ret = H5Pset_external(plist, path, start, count * f->size);
	if (ret >= 0)
		ret = H5Pset_obj_track_times(plist, false);
	dataset = H5Dcreate2(group, f->name, f->type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
	if (dataset < 0)
		ret = -1;
	H5Dclose(dataset);
	H5Pclose(plist);
	H5Sclose(space);
	return ret;
}

/* Map the field's elements of one segment's records to records at.. of the virtual dataset. */
static herr_t map_segment(hid_t plist, hid_t whole, const struct dip_nexus_run *run,
	const struct dip_nexus_segment *s, const struct field *f, uint64_t at)
{
	hsize_t count = (s->records - 1) * (run->stride / f->size) + f->each, from = 0;
	hsize_t step = run->stride / f->size, records = s->records, each = f->each;
	hsize_t first[3] = {at, 0, 0}, extent[3] = {records, run->height, run->width};
	hid_t source = H5Screate_simple(1, &count, NULL);
	char path[512];
	herr_t ret;

	snprintf(path, sizeof(path), "/entry/segments/%s/%s", s->name, f->name);
	ret = H5Sselect_hyperslab(source, H5S_SELECT_SET, &from, &step, &records, &each);
	if (ret >= 0)
		ret = H5Sselect_hyperslab(whole, H5S_SELECT_SET, first, NULL, extent, NULL);
	if (ret >= 0)
		ret = H5Pset_virtual(plist, whole, ".", path, source);
	H5Sclose(source);
	return ret;
}

static herr_t add_virtual(hid_t data, const struct dip_nexus_run *run, const struct field *f)
{
	hsize_t extent[3] = {dip_nexus_records(run), run->height, run->width};
	hid_t whole = H5Screate_simple(f->each > 1 || f->size == 2 ? 3 : 1, extent, NULL);
	hid_t plist = H5Pcreate(H5P_DATASET_CREATE), dataset;
	uint64_t at = 0;
	herr_t ret = H5Pset_obj_track_times(plist, false);

	for (size_t i = 0; ret >= 0 && i < run->segments; i++) {
		const struct dip_nexus_segment *s = &run->segment[i];

		if (s->records > 0)
			ret = map_segment(plist, whole, run, s, f, at);
		at += s->records;
	}
	H5Sselect_all(whole);
	dataset = H5Dcreate2(data, f->name, f->type, whole, H5P_DEFAULT, plist, H5P_DEFAULT);
	if (dataset < 0)
		ret = -1;
	H5Dclose(dataset);
	H5Pclose(plist);
	H5Sclose(whole);
	return ret;
}

/* The numbers of raw segments' frames, which are in no segment. */
static herr_t add_numbers(hid_t data, const struct dip_nexus_run *run)
{
	hsize_t total = dip_nexus_records(run), at = 0;
	hid_t space = H5Screate_simple(1, &total, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
	hid_t dataset;
	herr_t ret = H5Pset_obj_track_times(plist, false);

	dataset = H5Dcreate2(data, "seq", H5T_STD_U64LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
	if (dataset < 0)
		ret = -1;
	for (size_t i = 0; ret >= 0 && i < run->segments; i++) {
		hsize_t count = run->segment[i].records;
		hid_t memory = H5Screate_simple(1, &count, NULL);

		if (count > 0)
			ret = H5Sselect_hyperslab(space, H5S_SELECT_SET, &at, NULL, &count, NULL);
		if (count > 0 && ret >= 0)
			ret = H5Dwrite(dataset, H5T_NATIVE_UINT64, memory, space, H5P_DEFAULT,
				run->segment[i].seq);
		at += count;
		H5Sclose(memory);
	}
	H5Dclose(dataset);
	H5Pclose(plist);
	H5Sclose(space);
	return ret;
}

static bool numbers_known(const struct dip_nexus_run *run)
{
	for (size_t i = 0; i < run->segments; i++)
		if (run->segment[i].records > 0 && run->segment[i].seq == NULL)
			return false;
	return true;
}

static herr_t add_fields(hid_t entry, hid_t data, const struct dip_nexus_run *run)
{
	size_t image = (size_t)run->width * run->height * sizeof(uint16_t);
	const struct field fields[] = {
		{"data", H5T_STD_U16LE, 2, 0, image / 2},
		{"seq", H5T_STD_U64LE, 8, image + offsetof(struct dip_trailer, seq), 1},
		{"timestamp_ns", H5T_STD_U64LE, 8,
			image + offsetof(struct dip_trailer, timestamp_ns), 1},
	};
	size_t count = run->npy ? 3 : 1;
	hid_t segments = make_group(entry, "segments", NULL);
	herr_t ret = segments < 0 ? -1 : 0;

	for (size_t i = 0; ret >= 0 && i < run->segments; i++) {
		const struct dip_nexus_segment *s = &run->segment[i];
		hid_t group;

		if (s->records == 0)
			continue;
		group = make_group(segments, s->name, NULL);
		for (size_t k = 0; ret >= 0 && k < count; k++)
			ret = add_external(group, run, s, &fields[k]);
		H5Gclose(group);
	}
	for (size_t k = 0; ret >= 0 && k < count; k++)
		ret = add_virtual(data, run, &fields[k]);
	H5Gclose(segments);
	if (ret >= 0 && !run->npy && numbers_known(run))
		ret = add_numbers(data, run);
	return ret;
}

static herr_t describe_times(hid_t data)
{
	hid_t times = H5Dopen2(data, "timestamp_ns", H5P_DEFAULT);
	herr_t ret = set_text(times, "units", "ns");

	if (ret >= 0)
		ret = set_text(times, "start", "1970-01-01T00:00:00Z");
	if (ret >= 0)
		ret = set_text(times, "long_name", "arrival of the frame, UTC");
	H5Dclose(times);
	return ret;
}

/* What NeXus readers look for, in the words of its definitions of NXroot, NXentry and NXdata. */
static herr_t describe(hid_t file, hid_t entry, hid_t data, const struct dip_nexus_run *run)
{
	bool seq = run->npy || numbers_known(run);
	herr_t ret = set_text(file, "NX_class", "NXroot");

	if (ret >= 0)
		ret = set_text(file, "default", "entry");
	if (ret >= 0)
		ret = set_text(file, "creator", "dma-image-processor " DIP_VERSION);
	if (ret >= 0)
		ret = set_text(entry, "default", "data");
	if (ret >= 0)
		ret = set_text(data, "signal", "data");
	if (ret >= 0 && seq)
		ret = set_axes(data);
	if (ret >= 0 && seq)
		ret = set_number(data, "seq_indices", 0);
	if (ret >= 0 && run->npy)
		ret = set_number(data, "timestamp_ns_indices", 0);
	return ret >= 0 && run->npy ? describe_times(data) : ret;
}

herr_t dip_nexus_layout(hid_t file, const struct dip_nexus_run *run)
{
	hid_t entry = make_group(file, "entry", "NXentry"), data = -1;
	herr_t ret = entry < 0 ? -1 : 0;

	if (ret >= 0)
		data = make_group(entry, "data", "NXdata");
	if (data < 0)
		ret = -1;
	if (ret >= 0)
		ret = add_fields(entry, data, run);
	if (ret >= 0)
		ret = describe(file, entry, data, run);
	H5Gclose(data);
	H5Gclose(entry);
	return ret;
}
