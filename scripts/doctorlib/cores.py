# SPDX-License-Identifier: BSD-3-Clause
"""What else runs on the cores of the pollers, and how fast those are."""

import re

from doctorlib.machine import listed, numbers, ok, problem, warning

GRUB = "/etc/default/grub.d/dma-image-processor.cfg"


def _command_line(machine):
    """The command that isolates the cores at the next start."""
    cores = machine.cores if machine.others() else machine.cores - {min(machine.cores, default=0)}
    if not cores:
        return ""
    given = listed(cores)
    added = f"isolcpus=managed_irq,domain,{given} nohz_full={given} rcu_nocbs={given}"
    return (f"echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {added}\"' > {GRUB} && "
            "update-grub && reboot")


def cores(machine):
    """Whether the cores are there, and one is left for the rest."""
    missing = machine.cores - machine.online()
    if missing:
        commands = [f"echo 1 > {machine.cpu(core, 'online')}" for core in sorted(missing)
                    if machine.path(machine.cpu(core, "online")).exists()]
        return [problem(f"CPU {listed(missing)} is not online; online are "
                        f"{listed(machine.online())}", "; ".join(commands))]
    if not machine.others():
        return [warning(f"CPUs {listed(machine.cores)} are all there are: interrupts and other "
                        "programs have none of their own",
                        f"scripts/doctor --cores {listed(machine.cores - {min(machine.cores)})}"
                        if len(machine.cores) > 1 else "")]
    return [ok(f"CPUs {listed(machine.cores)} for the program, {listed(machine.others())} for "
               "the rest")]


def isolation(machine):
    """The scheduler, the tick and RCU stay away."""
    command_line = machine.read("/proc/cmdline")
    nohz = machine.list("/sys/devices/system/cpu/nohz_full")
    match = re.search(r"(?:^|\s)rcu_nocbs=(\S+)", command_line)
    try:
        rcu = numbers(match.group(1)) if match else set()
    except ValueError:  # rcu_nocbs=all
        rcu = machine.cores
    if re.search(r"(?:^|\s)rcu_nocbs(?:\s|$)", command_line):
        rcu = machine.cores
    for name, have, meaning in [
            ("isolcpus", machine.isolated(), "other programs run on them"),
            ("nohz_full", nohz, "the clock's tick interrupts them"),
            ("rcu_nocbs", rcu | nohz, "the kernel's callbacks run on them")]:
        lacking = machine.cores - have
        if lacking:
            yield warning(f"{name} lacks CPUs {listed(lacking)}: {meaning}",
                          _command_line(machine))
        else:
            yield ok(f"{name} has CPUs {listed(machine.cores)}")


def governor(machine):
    """The clock's rate does not depend on the load."""
    slow = {}
    for core in sorted(machine.cores):
        found = machine.read(machine.cpu(core, "cpufreq/scaling_governor"))
        if found and found != "performance":
            slow[core] = found
    if slow:
        files = " ".join(machine.cpu(core, "cpufreq/scaling_governor") for core in slow)
        return [warning(f"governor {', '.join(sorted(set(slow.values())))} on CPUs {listed(slow)}; "
                        "expected performance", f"echo performance | tee {files}")]
    if not machine.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"):
        return [ok("no governor here: the clock's rate is not the kernel's to set")]
    return [ok("governor performance")]


def turbo(machine):
    """Turbo makes the rate depend on what the other cores do."""
    for path, on in [("/sys/devices/system/cpu/intel_pstate/no_turbo", 0),
                     ("/sys/devices/system/cpu/cpufreq/boost", 1)]:
        if machine.read(path):
            if machine.number(path) == on:
                return [warning("turbo is on: fast, but latency depends on the other cores",
                                f"echo {1 - on} > {path}")]
            return [ok("turbo is off")]
    return [ok("no turbo here that the kernel could switch")]


def smt(machine):
    """No core shares its units with another CPU that runs."""
    shared = []
    for core in sorted(machine.cores):
        twins = machine.list(machine.cpu(core, "topology/thread_siblings_list")) - {core}
        shared += [(core, twin) for twin in sorted(twins & machine.online())
                   if twin not in machine.cores or twin > core]
    if not shared:
        return [ok("no CPU shares a core with another one")]
    return [warning(f"CPU {core} and CPU {twin} are one core: each slows the other down",
                    f"echo 0 > {machine.cpu(twin, 'online')}") for core, twin in shared]


def irqs(machine):
    """Interrupts go elsewhere."""
    ours = []
    for name in machine.glob("/proc/irq/[0-9]*"):
        where = (machine.list(f"{name}/effective_affinity_list")
                 or machine.list(f"{name}/smp_affinity_list"))
        if where & machine.cores:
            ours.append(int(name.rsplit("/", 1)[1]))
    if not ours:
        return [ok(f"no interrupt goes to CPUs {listed(machine.cores)}")]
    text = (f"interrupts {listed(ours)} go to CPUs {listed(machine.cores)}")
    if not machine.others():
        return [warning(f"{text}: no CPU is left for them")]
    names = " ".join(map(str, sorted(ours)))
    return [warning(text, f"for irq in {names}; do echo {listed(machine.others())} > "
                    "/proc/irq/$irq/smp_affinity_list; done")]


def clock(machine):
    """Arrival times are of the CPU's own counter."""
    current = machine.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    flags = re.search(r"^flags\s*:(.*)$", machine.read("/proc/cpuinfo"), re.MULTILINE)
    if flags:
        lacking = {"constant_tsc", "nonstop_tsc"} - set(flags.group(1).split())
        if lacking:
            yield warning(f"the CPU lacks {', '.join(sorted(lacking))}: latencies measured with "
                          "its counter may be wrong")
    folder = "/sys/devices/system/clocksource/clocksource0"
    available = machine.read(f"{folder}/available_clocksource").split()
    if current in ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"):
        yield ok(f"clock source {current}")
    elif "tsc" in available:
        yield warning(f"clock source {current or 'unknown'}: slow to read; expected tsc",
                      f"echo tsc > {folder}/current_clocksource")
    else:
        yield warning(f"clock source {current or 'unknown'}: slow to read, and the kernel does "
                      "not trust tsc; add tsc=reliable to its command line if the machine's is")
