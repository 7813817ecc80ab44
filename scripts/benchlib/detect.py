# SPDX-License-Identifier: BSD-3-Clause
"""Nanoseconds of a decision, against limits of the same core measured in the same run: a plain vector
sum of the same pixels, a linear sweep of the rows that the sites touch, boxes for weighted sites, and
decisions whose sites' counts are noted against such as are not."""

from benchlib.common import alternate, bar, cpus, ratios, run_json, show

HOT = "boxes"
COLD = "boxes-cold"
MANY = "weighted-10000"
RATE_LEAST = 0.8  # of the plain sum's rate
SWEEP_MOST = 1.3  # times the sweep
MANY_MOST_US = 250
WEIGHTED_MOST = 1.5  # times the boxes of the same geometry
ROUNDS = 3  # of each case in a process


def _program(options):
    return options.build / "tests/bench/detect"


def needs(options):
    """Files that must be there."""
    return [_program(options)]


def hugepages(_options):
    """MiB of hugepages that it wants: transparent ones will do."""
    return 0


def _kernels(options):
    """Those of this CPU: auto names the best one; avx2 goes with avx512."""
    best = run_json("detect, auto", [_program(options), cpus(options)[0], "auto", "0.01", "1",
                                     HOT])["kernel"]
    return {"avx512": ["avx512", "avx2"]}.get(best, [best])


def _judge(kernel, cases):
    """Print one kernel's figures; returns them with what was asked of them."""
    result = {}
    print(f"detect: kernel {kernel}, one core")
    for name, case in cases.items():
        figures = {"us": show(f"{name}, {case['sites']} sites", [ns / 1e3 for ns in case["ns"]],
                              "us")}
        if "rival_ns" in case:
            figures["limit_us"] = show("  limit", [ns / 1e3 for ns in case["rival_ns"]], "us")
            figures["ratio"] = show("  time / limit", ratios(case["ns"], case["rival_ns"]), "")
        result[name] = figures
    rate = 1 / result[HOT]["ratio"]["median"]
    result["bars"] = {
        HOT: bar("boxes / plain sum, rate", rate, RATE_LEAST),
        COLD: bar("boxes, cold / sweep, time", result[COLD]["ratio"]["median"], SWEEP_MOST, True),
        MANY: bar("10,000 weighted 9 x 9, us", result[MANY]["us"]["median"], MANY_MOST_US, True),
        "weighted": bar("weighted / boxes, worst geometry",
                        max(figures["ratio"]["median"] for name, figures in result.items()
                            if name.startswith("weighted-") and "ratio" in figures and
                            not name.endswith("-cold")), WEIGHTED_MOST, True)}
    return result


def _join(runs):
    """The rounds of several runs, case by case."""
    joined = {}
    for cases in runs:
        for name, case in cases.items():
            whole = joined.setdefault(name, {"sites": case["sites"]})
            for key in ("ns", "rival_ns"):
                if key in case:
                    whole.setdefault(key, []).extend(case[key])
    return joined


def run(options):
    """Each kernel and its limits, in turn."""
    def measure(kernel):
        # So many cases, each with a limit, in the time of one run.
        seconds = options.seconds / (2 * 17 * ROUNDS)
        return run_json(f"detect, {kernel}", [_program(options), cpus(options)[0], kernel,
                                              f"{seconds:.4f}", ROUNDS])["cases"]

    kernels = _kernels(options)
    runs = alternate({kernel: lambda kernel=kernel: measure(kernel) for kernel in kernels},
                     options.repeat)
    return {kernel: _judge(kernel, _join(runs[kernel])) for kernel in kernels}
