#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Print threshold_table.h: thresholds and error rates of the Poisson decision, by definition.

T is the least one at which the weighted errors (1 - fill) FP + fill FN no longer fall, or the least
one with FP <= target, whichever is more; both are found from sums of Poisson terms with 60 digits,
without the closed form that the program uses. Needs python3-mpmath (1.2.1 made the table).
Usage: tests/unit/threshold_table.py > tests/unit/threshold_table.h
"""

import mpmath as mp

mp.mp.dps = 60

LAMBDAS = [("0.001", "0.01"), ("0.001", "1000000"), ("0.2", "10"), ("0.4577", "10.46243"),
           ("0.5", "0.6"), ("2", "20"), ("31.25", "40.5"), ("690", "800"), ("800", "1000"),
           ("9999", "10001"), ("100000", "102000"), ("999999", "1000000")]
FILLS = ["0.5", "0.87259", "0.01", "0.999", "1e-9"]
TARGETS = ["1", "1e-3", "1e-12", "1e-200"]


def pmf(k, lam):
    """P(N = k)."""
    return mp.exp(k * mp.log(lam) - lam - mp.loggamma(k + 1))


def at_least(t, lam):
    """P(N >= t), as a sum of terms from the smaller side."""
    if t == 0:
        return mp.mpf(1)
    if t <= lam:
        return 1 - below(t, lam)
    term = total = pmf(t, lam)
    k = t
    while term > total * mp.mpf(10) ** -55:
        k += 1
        term *= lam / k
        total += term
    return total


def below(t, lam):
    """P(N < t)."""
    if t == 0:
        return mp.mpf(0)
    if t > lam:
        return 1 - at_least(t, lam)
    k = t - 1
    term = total = pmf(k, lam)
    while k > 0 and term > total * mp.mpf(10) ** -55:
        term *= k / lam
        k -= 1
        total += term
    return total


def first(condition):
    """The least T >= 0 with a condition that stays true from there on."""
    high = 1
    while not condition(high):
        high *= 2
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if condition(middle) else (middle, high)
    return high


def number(value):
    """As C takes it; 0 for what is below 1e-300."""
    return mp.nstr(value, 18, min_fixed=1, max_fixed=0) if value > mp.mpf("1e-300") else "0"


def main():
    """Print the rows."""
    print("/* SPDX-License-Identifier: BSD-3-Clause */")
    print("/* Made by tests/unit/threshold_table.py: l0, l1, fill, fp_target, T, FP, FN. */")
    for text0, text1 in LAMBDAS:
        l0, l1 = mp.mpf(text0), mp.mpf(text1)
        for fill_text in FILLS:
            fill = mp.mpf(fill_text)
            fewest = first(lambda t: fill * pmf(t, l1) >= (1 - fill) * pmf(t, l0))
            for target in TARGETS:
                t = max(fewest, first(lambda t: at_least(t, l0) <= mp.mpf(target)))
                if t == 0 or t > 10**7:
                    continue  # refused; beyond what the far tails are summed for
                print(f"{{{text0}, {text1}, {fill_text}, {target}, {t}, "
                      f"{number(at_least(t, l0))}, {number(below(t, l1))}}},")


if __name__ == "__main__":
    main()
