/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

/* Three threads that take turns: the test's, and the archive's maker and keeper, which stop at each
 * gate until the test lets them go on to the next. So all that happens among them happens in the
 * test's order, the same every time. A gate is gate_pass, and the wait on a condition variable,
 * which is over at once: what happens meanwhile, and the time that passes, is the test's to say.
 * Linked with --wrap of pthread_cond_wait, pthread_cond_timedwait and pthread_join: a thread that is
 * joined is stopped no more, while the other one stays where it is. */

/* The maker is whoever is first to wait without a timeout: it does so before anything is wanted of
 * it. The keeper is whoever else comes first; further threads are not stopped. */
enum gate_thread { GATE_MAKER, GATE_KEEPER, GATE_THREADS };

/* The calling thread is the test's, which no gate stops. */
void gate_shut(void);

/* Whoever comes here waits for its turn. Holds no lock that another thread takes. */
void gate_pass(const char *what);

/* What the thread is about to do; waits until it stands at a gate. "wait" is the condition variable:
 * it has nothing to do. */
const char *gate_at(enum gate_thread thread);

/* Let it go on to its next gate. */
void gate_step(enum gate_thread thread);

/* No gate stops anybody any more. */
void gate_open(void);
