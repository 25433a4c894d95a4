# ruff: noqa: E501
"""Mistakes in the network and its training that make no difference, as they are printed, and why."""

EQUIVALENT: dict[str, dict[str, str]] = {
    "optimlab/datasets/normalization.py": {
        ": constant: _ROWS = 4097": "only the speed depends on it",
        "Standardize.fit: constant: low, high = (x.min(axis=0).reshape(-1, width).min(axis=0), x.max(axis=0).reshape(-2, width).max(axis=0))": "NumPy takes every negative length for the one to find out",
        "Standardize.fit: operator: size = x.size / width": "it is a whole number, as a float too",
        "Standardize.__call__: constant: inverse = np.where(constant, 0.0, 1 / np.where(constant, 2.0, self.std))": "a constant feature is set to 0",
        "Standardize.__call__: constant: for part, target in zip(_blocks(x, width), np.split(out, range(_ROWS, len(out), _ROWS)), strict=False):": "there are as many of both",
        "_blocks: constant: yield x[start:start + _ROWS].astype('float64').reshape(-2, width)": "NumPy takes every negative length for the one to find out",
        "Standardize.fit: constant: low, high = (x.min(axis=0).reshape(-2, width).min(axis=0), x.max(axis=0).reshape(-1, width).max(axis=0))": "NumPy takes every negative length for the one to find out",
    },
    "optimlab/nn/activations.py": {
        "_kinks: operator: values = [f(switches - k * h) for k in (-2, -1, 1, 2)]": "the same points, or the other side of a switch",
        "_kinks: comparison: return tuple((float(x) for x in switches[jumps >= 100 * h]))": "a jump is thousands of times as high, and what is smooth thousands of times lower",
        "_kinks: constant: return tuple((float(x) for x in switches[jumps > 101 * h]))": "a jump is thousands of times as high, and what is smooth thousands of times lower",
        "_switches: constant: scalars = graph.scalars(t=2, **dict(f.parameters))": "an activation does not depend on t",
        "_switches.sides: comparison: return [np.broadcast_to(first >= (second[0] if second else 0), x.shape) for first, *second in operands]": "the same points, or the other side of a switch",
        "_switches.sides: comparison: return [np.broadcast_to(first <= (second[0] if second else 0), x.shape) for first, *second in operands]": "the same points, or the other side of a switch",
        "_switches: operator: grid = np.linspace(-100.0, 100.0, 20001) - 0.001 / math.pi": "the same points, or the other side of a switch",
        "_switches: operator: grid = np.linspace(-100.0, 100.0, 20001) + 0.001 * math.pi": "only the cells in which it is looked for depend on it",
        "_switches: right factor dropped: grid = np.linspace(-100.0, 100.0, 20001) + 0.001": "only the cells in which it is looked for depend on it",
        "_switches: constant: grid = np.linspace(-100.0, 100.0, 20001) + 1.001 / math.pi": "only the cells in which it is looked for depend on it",
        "_switches: constant: grid = np.linspace(-100.0, 100.0, 20002) + 0.001 / math.pi": "only the cells in which it is looked for depend on it",
        "_switches: comparison: while high - low >= 1e-10:": "only the cells in which it is looked for depend on it",
        "_switches: right term dropped: grid = np.linspace(-100.0, 100.0, 20001)": "a switch at a point of the grid is found in the interval before it",
        "leaky_relu: comparison: return np.where(x >= 0, x, slope * x)": "at 0, both pieces are 0",
        "elu: comparison: return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))": "at 0, both pieces are 0",
        "elu: constant: return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 1)))": "above 0 it is not used",
        "mish: constant: n = np.exp(np.minimum(x, 21))": "from there on, the quotient or the tangent is 1 to the last bit",
        "mish_backward: constant: n = np.exp(np.minimum(x, 21))": "from there on, the quotient or the tangent is 1 to the last bit",
        "gelu_tanh: constant: square = np.minimum(x ** 2, 10001.0)": "from there on, the quotient or the tangent is 1 to the last bit",
        "gelu_tanh_backward: constant: square = np.minimum(x ** 2, 10001.0)": "from there on, the quotient or the tangent is 1 to the last bit",
    },
    "optimlab/nn/layers.py": {
        "Layer: constant: edits: ClassVar[int] = 1": "only whether the number has changed matters",
        "Layer.__setattr__: operator: Layer.edits -= 1": "only whether the number has changed matters",
        "Layer.__setattr__: constant: Layer.edits += 2": "only whether the number has changed matters",
        "Layer.__delattr__: operator: Layer.edits -= 1": "only whether the number has changed matters",
        "Layer.__delattr__: constant: Layer.edits += 2": "only whether the number has changed matters",
        "Layer: constant: def backward: False": "it raises an error in any case",
        "Layer.settle: right term dropped: self._kept = frozenset({*held, '_kept', '_holders'})": "a layer is settled once, before it is at home",
        "Layer.settle: constant: self._home = False": "only whether it is there matters",
        "_double: constant: return [_double(v, m) for v, m in zip(value, own, strict=True)]": "both have one length",
        "BatchNorm: constant: def backward: False": "it returns the gradient of its inputs in any case",
        "Dropout: constant: def backward: False": "it returns the gradient of its inputs in any case",
        "Activate: constant: def backward: False": "it returns the gradient of its inputs in any case",
        "Standardized: constant: def backward: False": "it returns the gradient of its inputs in any case",
    },
    "optimlab/nn/regularization.py": {
        "_Term: sign: _seen: tuple[Any, int, str] = (None, 1, '')": "no parameters are None",
        "_Term: constant: _seen: tuple[Any, int, str] = (None, -2, '')": "no parameters are None",
        "_shrink: constant: backend.row_max(each.reshape(1, -2), (one if k else top).reshape(1, 1))": "NumPy takes every negative length for the one to find out",
    },
    "optimlab/schedules/composed.py": {
        "Warmup._lr: comparison: if k <= self.steps:": "line() ends at what follows it",
    },
    "optimlab/schedules/cycles.py": {
        "CyclicLR._height: comparison: height = at / self.up if at < self.up else (self.up + down - at) / down": "at the peak both are 1",
    },
    "optimlab/schedules/decays.py": {
        "PowerDecay._lr: float dropped: return self.lr * (1 + k / self.s) ** (-self.c)": "only mypy needs the float: the power of two numbers is one",
        "PolynomialDecay._lr: float dropped: return self.end + (self.lr - self.end) * (1 - min(k / self.total, 1)) ** self.power": "only mypy needs the float: the power of two numbers is one",
    },
    "optimlab/training/callbacks.py": {
        "ReduceLROnPlateau._listening: constant: return schedules.ReduceLROnPlateau(2.0, **self._options)": "its own rate is not used",
        "CSVLogger.state: constant: return {'header': self._header, 'lines': _lines(self.path) if self._header else 1}": "without a header, the next epoch writes the file anew",
    },
    "optimlab/training/checks.py": {
        "checked_data: float dropped: if not (math.isfinite(x.min()) and math.isfinite(float(x.max()))):": "only CuPy needs the float: NumPy's own is one already",
        "checked_data: float dropped: if not (math.isfinite(float(x.min())) and math.isfinite(x.max())):": "only CuPy needs the float: NumPy's own is one already",
    },
    "optimlab/training/evaluation.py": {
        ": constant: ROWS = 1025": "only the speed depends on it",
        "Evaluator.measured: constant: loss = sum((n * value for n, value in zip(rows, found[:, 0], strict=False))) / sum(rows)": "there are as many of both",
        "Evaluator._work: constant: backend.map(same, (number.reshape(-2),), self.results[k, j * number.size:(j + 1) * number.size])": "NumPy takes every negative length for the one to find out",
    },
    "optimlab/training/loop.py": {
        "fit: constant: whole = 1.0 if score is None else score.whole(y)": "it is used only with a score",
    },
    "optimlab/training/run.py": {
        ": constant: AWAY = 1.02": "only the time between two looks at Ctrl-C depends on it",
        "Run.__init__: constant: self._graph, self._chunk = (graph, 2)": "only the time between two looks at Ctrl-C depends on it",
        "Run.__init__: constant: self.epochs, self.data = (1, '')": "fit sets both",
    },
    "optimlab/training/step.py": {
        "Epoch.arrange: constant: order, cut = (order.reshape(self.replicas, -2), self.full * self.batch_size)": "NumPy takes every negative length for the one to find out",
        "Step.__call__: constant: backend.map(same, (number.reshape(-2),), self.result[place])": "NumPy takes every negative length for the one to find out",
        "unchanged: constant: return len(before) == len(now) and all((a is b or (isinstance(a, int | float | str) and a == b) for a, b in zip(before, now, strict=False)))": "there are as many of both",
    },
}
