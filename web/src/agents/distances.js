/** How far each cell is from a source: shortest ways over a grid (`agents/distances.py`). */

/** The least `source` plus costs of a way from each cell; both row by row. Sweeps there and back until nothing changes. */
export function distances(source, cost, rows, cols) {
  const found = Float64Array.from(source);
  const shorten = (here, there) => {
    const way = found[there] + cost[here];
    if (way < found[here]) [found[here], changes] = [way, true];
  };
  let changes = true;
  for (let round = 0; changes && round < rows * cols; round++) {
    changes = false;
    for (const [row, from] of steps(rows)) for (let col = 0; col < cols; col++) shorten(row * cols + col, from * cols + col);
    for (const [col, from] of steps(cols)) for (let row = 0; row < rows; row++) shorten(row * cols + col, row * cols + from);
  }
  return found;
}

/** Lines of cells in the order of two sweeps, there and back, each with the line that it looks at. */
function steps(size) {
  const there = Array.from({ length: size - 1 }, (_, i) => [i + 1, i]);
  return [...there, ...there.map(([a, b]) => [b, a]).reverse()];
}
