/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Feeds files to a fuzz target where there is no libFuzzer: every file of the folders that it is given.
 * A target aborts when something does not hold. Says how many files there were; none is a failure. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (f == NULL || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0) {
		perror(path);
		exit(2);
	}
	rewind(f);
	/* No byte more than there is: the sanitizers see what reads beyond. */
	data = malloc((size_t)size);
	if (size > 0 && (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size)) {
		perror(path);
		exit(2);
	}
	fclose(f);
	printf("%s\n", path);
	fflush(stdout); /* the last line names the file when the target aborts */
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
}

int main(int argc, char **argv)
{
	unsigned int files = 0;

	for (int i = 1; i < argc; i++) {
		struct dirent **entry;
		int n = scandir(argv[i], &entry, NULL, alphasort);

		if (n < 0) {
			perror(argv[i]);
			return 2;
		}
		for (int k = 0; k < n; k++) {
			char path[4096];

			snprintf(path, sizeof(path), "%s/%s", argv[i], entry[k]->d_name);
			if (entry[k]->d_name[0] != '.') {
				feed(path);
				files++;
			}
			free(entry[k]);
		}
		free(entry);
	}
	printf("%u files\n", files);
	return files == 0;
}
