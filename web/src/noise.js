/** Random numbers that depend on a key and a place alone (`nova_gym/noise.py`): SplitMix64. */
const STEP = 0x9e3779b97f4a7c15n;
const FIRST = 0xbf58476d1ce4e5b9n;
const SECOND = 0x94d049bb133111ebn;
const whole = (bits) => BigInt.asUintN(64, bits);

/** `count` numbers in [0, 1), the same for the same key (a BigInt), step and place. */
export function uniform(key, step, count) {
  return Float32Array.from({ length: count }, (_, place) => {
    let bits = whole(key + STEP * (1n + BigInt(place) + BigInt(step) * (1n << 32n)));
    bits = whole((bits ^ (bits >> 30n)) * FIRST);
    bits = whole((bits ^ (bits >> 27n)) * SECOND);
    return Number((bits ^ (bits >> 31n)) >> 40n) * 2 ** -24;
  });
}
