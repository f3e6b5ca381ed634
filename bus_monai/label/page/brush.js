// What brush and eraser make of outlines, by Clipper2: a stroke is a line with round ends, straightened to few corners.
import {
  differenceD, EndType, FillRule, inflatePathsD, intersectD, JoinType, ramerDouglasPeuckerD, simplifyPathsD, unionD,
} from "./clipper2.js";
import { TOLERANCE } from "./common.js";

const DIGITS = 2; // behind the point
const ROUND = 0.25; // pixels that a round end may be off

const toPath = (points) => points.map(([x, y]) => ({ x, y }));
const toPoints = (path) => path.map(({ x, y }) => [Math.round(100 * x) / 100, Math.round(100 * y) / 100]);

// a line drawn by hand, as few points
export function straightened(points) {
  return toPoints(ramerDouglasPeuckerD(toPath(points), TOLERANCE));
}

// whether two lesions, each its outlines, share any of the image
export function overlap(one, other) {
  return intersectD(one.map(toPath), other.map(toPath), FillRule.EvenOdd, DIGITS).length > 0;
}

// Return outlines with a stroke added or taken away; one within another is a hole.
export function brushed(outlines, stroke, radius, adds) {
  const line = stroke.length > 1 ? straightened(stroke) : [stroke[0], [stroke[0][0] + 0.01, stroke[0][1]]];
  const area = inflatePathsD([toPath(line)], radius, JoinType.Round, EndType.Round, 2, DIGITS, ROUND);
  // outlines of one lesion may lie within one another: first by their own rule, then with the stroke
  const before = unionD(outlines.map(toPath), FillRule.EvenOdd);
  const combine = adds ? unionD : differenceD;
  const after = combine(before, area, FillRule.NonZero, DIGITS);
  return simplifyPathsD(after, TOLERANCE / 2).filter((path) => path.length > 2).map(toPoints);
}
