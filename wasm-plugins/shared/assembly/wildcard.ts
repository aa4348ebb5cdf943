/** Names with `*` (any characters) and `?` (one byte), compared without ASCII's case. */
import { lengthOf, lower, ptrOf, Slice } from '../../sdk/assembly/sdk'

/** True where the whole name fits. Its time grows with the product of the lengths at most. */
export function fits(pattern: Slice, name: Slice): bool {
  const wanted = ptrOf(pattern)
  const wantedEnd = wanted + lengthOf(pattern)
  const end = ptrOf(name) + lengthOf(name)
  let at = ptrOf(name)
  let want = wanted
  // Where to go on when the last star has to take one byte more.
  let star: usize = 0
  let behind: usize = 0
  while (at < end) {
    const byte = want < wantedEnd ? load<u8>(want) : 0
    if (want < wantedEnd && byte == 0x2a) {
      star = ++want
      behind = at
    } else if (want < wantedEnd && (byte == 0x3f || lower(byte) == lower(load<u8>(at)))) {
      want++
      at++
    } else if (star != 0) {
      want = star
      at = ++behind
    } else return false
  }
  while (want < wantedEnd && load<u8>(want) == 0x2a) want++
  return want == wantedEnd
}
