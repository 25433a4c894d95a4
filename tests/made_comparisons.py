"""Comparisons of made-up records: nothing is trained."""

from run_files import made

from optimlab.study.compare import Comparison, summarized
from optimlab.study.plan import KINDS
from optimlab.study.results import Spread


def made_comparison(study, outcome, timed=True):
    """``outcome(label, kind, replicate, number of the trial)`` gives the arguments of :func:`run_files.made`."""
    makers = {"tuned": study.grid, "default": study.default, "searched": study.random}
    found = {
        kind: {
            c.label: [
                [made(run, **outcome(c.label, kind, r, k)) for k, run in enumerate(makers[kind](c, r))]
                for r in range(study.replicates)
            ]
            for c in study.contenders
        }
        for kind in KINDS
        if (kind != "default" or study.defaults) and (kind != "searched" or study.search)
    }
    records = {
        record.key: record for own in found.values() for trials in own.values() for some in trials for record in some
    }
    times = {c.label: Spread(1e-4, 0.9e-4, 1.2e-4) for c in study.contenders} if timed else {}
    planned = {"target": study.problem.target, "replicates": study.replicates}
    return Comparison(summarized(study, found, records, times, planned), records)
