"""What observations mean, once more: in plain Python, step by step, as slow as it is obvious.

Nothing here is shared with the product but its plain data, `WindowSpec` and `InputContract`.
"""

import math
from fractions import Fraction

UNFIT = 3.4028234663852886e38
"""The largest number of float32."""


def point_of(time, spec):
    """Return the grid point of a time as a number of steps, or None for one that is too far from any."""
    steps = Fraction(time - spec.origin_us, spec.every_us)
    if spec.align == "until":
        return math.ceil(steps)
    near = min((math.floor(steps), math.ceil(steps)), key=lambda point: (abs(steps - point), point))
    return near if abs(steps - near) * spec.every_us <= spec.tolerance_us else None


def is_hole(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def fault_of(row, spec, contract):
    """Return why a row is no observation, looking at it alone."""
    if row[spec.time] is None:
        return "time"
    if point_of(row[spec.time], spec) is None:
        return "off-grid"
    if any(row[one.name] in {None, ""} for one in contract.series):
        return "series"
    for column in (*contract.past, *contract.static):
        value = row.get(column.name)
        if is_hole(value):
            continue
        if column.is_real and abs(value) > UNFIT:
            return "number"
        if not column.is_real and not column.accepts_unknown and value not in column.categories:
            return "category"
    return None


def hear(rows, columns, spec):
    """Return what rows of a series, by number, say of its statics and since which grid point, and who contradicts."""

    def order(number):
        row = rows[number]
        return row[spec.time], [(is_hole(row[one.name]), row[one.name] or "") for one in columns]

    so, contradicting, since = {one.name: None for one in columns}, set(), {}
    for number in sorted(rows, key=order):
        said = {name: rows[number][name] for name in so if not is_hole(rows[number][name])}
        if any(so[name] is not None and so[name] != value for name, value in said.items()):
            contradicting.add(number)
        else:
            so |= said
            for name in said:
                since.setdefault(name, point_of(rows[number][spec.time], spec))
    return so, since, contradicting


def combine(rows, name, spec):
    """Return one value for the rows of a cell, or None."""
    order = sorted(
        (row[spec.time], -math.inf if row.get(spec.created) is None else row[spec.created], row[name])
        for row in rows
        if not is_hole(row[name])
    )
    values = [value for _, _, value in order]
    if not values:
        return None
    rule = "last" if isinstance(values[0], str) else spec.combine_of(name)
    if rule in {"sum", "mean"}:
        total = 0.0
        for value in values:
            total += value
        result = total if rule == "sum" else total / len(values)
        return None if abs(result) > UNFIT else result
    return {"last": values[-1], "min": min(values), "max": max(values)}[rule]


def steps_of(cells, columns, spec, derived):
    """Return by grid point what a series has there: a dict of values, "missing" or "hole"."""
    first, last = min(cells), max(cells)
    steps, before, since = {}, {}, dict.fromkeys((one.name for one in columns), 0)
    for point in range(first, last + 1):
        step, is_missing, stays = {}, False, False
        for column in columns:
            name, fill = column.name, spec.fill_of(column.name)
            value = derived(name, point) if name in derived.names else combine(cells.get(point, ()), name, spec)
            if not is_hole(value):
                before[name], since[name] = value, 0
            else:
                since[name] += 1
                if fill.kind == "none" or since[name] > spec.max_gap_steps:
                    stays = True
                elif fill.kind == "forward":
                    value = before.get(name)
                    stays |= value is None
                elif fill.kind == "constant":
                    value = float(fill.constant) if column.is_real else fill.constant
                else:
                    is_missing = True
            step[name] = value
        steps[point] = "hole" if stays else "missing" if is_missing else step
    return steps


class Nothing:
    """No column is derived."""

    names = ()


def ends_of(steps, cells, spec, contract):
    """Yield the first and the last grid point of each window of a series."""
    longest = spec.max_length or contract.max_length
    for end in sorted(steps):
        if end % spec.stride or isinstance(steps[end], str) or (spec.on == "observation" and end not in cells):
            continue
        start = end
        while end - start + 1 < longest and steps.get(start - 1, "hole") != "hole":
            start -= 1
        while steps[start] == "missing":
            start += 1
        if end - start + 1 >= (spec.min_length or contract.min_length):
            yield start, end


def windows_of(rows, spec, contract, derived=Nothing):
    """Return (windows, faults): each window as (ids, end, steps, statics), in order; faults as (row, reason)."""
    faults = {number: why for number, row in enumerate(rows) if (why := fault_of(row, spec, contract))}
    of_series = {}
    for number, row in enumerate(rows):
        if number not in faults:
            of_series.setdefault(tuple(row[one.name] for one in contract.series), {})[number] = row
    found = []
    for ids, mine in sorted(of_series.items()):
        statics, since, contradicting = hear(mine, contract.static, spec)
        cells = {}
        for number, row in mine.items():
            if number in contradicting:
                faults[number] = "static"
            else:
                cells.setdefault(point_of(row[spec.time], spec), []).append(row)
        if not cells:
            continue
        steps = steps_of(cells, contract.past, spec, derived)
        for start, end in ends_of(steps, cells, spec, contract):
            taken = [steps[point] for point in range(start, end + 1)]
            by_then = {name: said if since.get(name, end + 1) <= end else None for name, said in statics.items()}
            if not any(by_then[one.name] is None and not one.accepts_unknown for one in contract.static):
                found.append((ids, spec.origin_us + end * spec.every_us, taken, by_then))
    return found, sorted(faults.items())
