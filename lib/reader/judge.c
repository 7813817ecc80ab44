/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "reader/reader_impl.h"

static enum dip_record_fault fault_of(const struct dip_reader *r, const struct dip_trailer *t,
	const uint8_t *image, uint32_t *crc)
{
	if (t->magic == 0)
		return DIP_NEVER_WRITTEN;
	if (t->magic != DIP_TRAILER_MAGIC)
		return DIP_BAD_MAGIC;
	if (t->version != DIP_TRAILER_VERSION)
		return DIP_BAD_VERSION;
	if (t->length != (uint32_t)r->image_bytes)
		return DIP_BAD_LENGTH;
	if ((t->flags & DIP_TRAILER_CRC) == 0) {
		/* One flipped bit must not be able to switch the check off. */
		if (t->flags != 0 || t->crc32c != 0)
			return DIP_BAD_FLAGS;
	} else if (image != NULL) {
		*crc = dip_record_crc32c(image, r->image_bytes, t);
		if (*crc != t->crc32c)
			return DIP_BAD_CRC;
	}
	if (r->has_run_id && t->run_id != r->run_id)
		return DIP_OTHER_RUN;
	return DIP_GOOD;
}

static bool all_zeros(const uint8_t *p, size_t bytes)
{
	return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

static void judge_raw(struct dip_reader *r, uint64_t slot, struct dip_record *record)
{
	uint64_t seq = slot < r->records ? r->private->seq[slot] : NO_SEQ;

	record->trailer.seq = seq;
	record->trailer.length = r->image_bytes;
	record->fault = seq == NO_SEQ ? DIP_NOT_INDEXED : DIP_GOOD;
}

void dip_reader_judge(struct dip_reader *r, uint64_t slot, const uint8_t *image,
	const uint8_t *trailer, size_t size, struct dip_record *record)
{
	const size_t whole = r->image_bytes + sizeof(struct dip_trailer);
	const struct dip_trailer *t = &record->trailer;

	*record = (struct dip_record){
		.slot = slot, .offset = dip_reader_offset(r, slot), .image = image, .bytes = size};
	if (!r->npy) {
		judge_raw(r, slot, record);
		return;
	}
	memcpy(&record->trailer, trailer, sizeof(record->trailer));
	record->fault = fault_of(r, t, record->image, &record->crc);
	if (size > whole)
		record->pad_damaged = !all_zeros(trailer + sizeof(*t), size - whole);
	/* The first record that is good by itself says whose run this is: a damaged run_id in the
	 * very first record must not condemn all the others. A trailer alone is no proof. */
	if (record->fault == DIP_GOOD && image != NULL && !r->has_run_id) {
		r->has_run_id = true;
		r->run_id = t->run_id;
	}
}

void dip_record_describe(
	const struct dip_reader *r, const struct dip_record *record, char *text, size_t size)
{
	const struct dip_trailer *t = &record->trailer;

	text[0] = '\0';
	switch (record->fault) {
	case DIP_GOOD:
		break;
	case DIP_NEVER_WRITTEN:
		snprintf(text, size, "never written; expected a record, as later ones are there");
		break;
	case DIP_BAD_MAGIC:
		snprintf(text, size, "magic %#010" PRIx32 "; expected %#010x (DIPF)", t->magic,
			DIP_TRAILER_MAGIC);
		break;
	case DIP_BAD_VERSION:
		snprintf(text, size, "version %u; expected %u", t->version, DIP_TRAILER_VERSION);
		break;
	case DIP_BAD_LENGTH:
		snprintf(text, size, "length %" PRIu32 "; expected %zu", t->length, r->image_bytes);
		break;
	case DIP_BAD_CRC:
		snprintf(text, size, "crc32c %#010" PRIx32 "; expected %#010" PRIx32, t->crc32c,
			record->crc);
		break;
	case DIP_BAD_FLAGS:
		snprintf(text, size,
			"flags %#06x, crc32c %#010" PRIx32
			"; expected both 0, or bit 0 of flags for a crc32c",
			t->flags, t->crc32c);
		break;
	case DIP_OTHER_RUN:
		snprintf(text, size,
			"run_id %#" PRIx64 "; expected %#" PRIx64 "; it is of another run",
			t->run_id, r->run_id);
		break;
	case DIP_CUT:
		snprintf(text, size, "cut short: %" PRIu64 " bytes; expected %zu", r->rest,
			r->stride);
		break;
	case DIP_NOT_INDEXED:
		snprintf(text, size, "not in the index; expected a line for each frame");
		break;
	}
}
