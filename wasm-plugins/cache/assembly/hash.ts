/**
 * Keys of 128 bits: SipHash-1-3 with a secret of this instance, so that nobody can make two
 * statements whose keys are the same. A key is itself the secret for what hangs on it: the
 * connection's settings key the statement, the statement keys the values.
 */
import { random } from '../../sdk/assembly/host'
import { lengthOf, ptrOf, Slice } from '../../sdk/assembly/slice'

/** The hash that was made last. */
export let low: u64 = 0
export let high: u64 = 0

/** The secret that all keys begin with. */
export let secretLow: u64 = 0
export let secretHigh: u64 = 0
/** Tells this instance from those before it; not zero. */
export let instance: u32 = 0

const secret = memory.data(24)

/** Takes a secret; once, at the first hook. */
export function drawSecret(): void {
  random(secret, 24)
  secretLow = load<u64>(secret)
  secretHigh = load<u64>(secret, 8)
  instance = load<u32>(secret, 16) | 1
}

/** The up to seven bytes at `ptr`, the first lowest. */
// @ts-ignore: decorator
@inline
function rest(ptr: usize, count: i32): u64 {
  let value: u64 = 0
  for (let at = count - 1; at >= 0; at--) value = (value << 8) | load<u8>(ptr + at)
  return value
}

/** Hashes bytes with a key into `low` and `high`. */
export function hash(keyLow: u64, keyHigh: u64, ptr: usize, length: i32): void {
  let v0 = keyLow ^ 0x736f_6d65_7073_6575
  let v1 = keyHigh ^ 0x646f_7261_6e64_6f6d ^ 0xee
  let v2 = keyLow ^ 0x6c79_6765_6e65_7261
  let v3 = keyHigh ^ 0x7465_6462_7974_6573
  const words = length >> 3
  // One round a word, the last one with the length; then three rounds for each half.
  for (let round = 0; round < words + 7; round++) {
    let word: u64 = 0
    if (round < words) word = load<u64>(ptr + (round << 3))
    else if (round == words) word = (<u64>length << 56) | rest(ptr + (words << 3), length & 7)
    else if (round == words + 1) v2 ^= 0xee
    else if (round == words + 4) {
      low = v0 ^ v1 ^ v2 ^ v3
      v1 ^= 0xdd
    }
    v3 ^= word
    v0 += v1
    v1 = rotl<u64>(v1, 13) ^ v0
    v0 = rotl<u64>(v0, 32)
    v2 += v3
    v3 = rotl<u64>(v3, 16) ^ v2
    v0 += v3
    v3 = rotl<u64>(v3, 21) ^ v0
    v2 += v1
    v1 = rotl<u64>(v1, 17) ^ v2
    v2 = rotl<u64>(v2, 32)
    v0 ^= word
  }
  high = v0 ^ v1 ^ v2 ^ v3
}

/** Hashes a run behind what `low` and `high` hold. */
export function chain(run: Slice): void {
  hash(low, high, ptrOf(run), lengthOf(run))
}

/** Begins a chain. */
export function beginChain(): void {
  low = secretLow
  high = secretHigh
}
