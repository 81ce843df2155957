/** GELU(x) = max(x, 0) - a Φ(-a) with a = |x|; Φ(-a) is the eighth power of a polynomial (`nova_gym/kernels/gelu.py`). */
export const COEFFICIENTS = [
  -0.00019094736569108938, 0.001939667446673766, -0.0011082323433923538, -0.03172153643961185, -0.09149103379117307, 0.917003459999222,
];
export const CLAMP = 5.0;
const [C5, C4, C3, C2, C1, C0] = COEFFICIENTS;

export function gelu(x) {
  const a = Math.min(Math.abs(x), CLAMP);
  let root = ((((C5 * a + C4) * a + C3) * a + C2) * a + C1) * a + C0;
  root *= root;
  root *= root;
  return Math.max(x, 0) - a * root * root;
}

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));
