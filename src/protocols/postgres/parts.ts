/** Cuts a unit of whole messages for one step, which may want less of it than the unit holds. */
import type { Cut, Part } from '../protocol.ts'
import { walk } from './messages.ts'

/**
 * Parts in order: each message alone for `message`, else the longest runs of wanted messages that
 * may stand together. Messages that the step did not name come as unwanted parts.
 */
export function partsOf(
  bytes: Uint8Array,
  known: Uint8Array,
  cut: Cut,
  tags: Uint8Array | null,
  joins: (previous: number, tag: number) => boolean,
): readonly Part[] {
  const parts: Part[] = []
  let from = 0
  let end = 0
  let open = false
  let wantedOpen = false
  let previous = 0
  const close = (): void => {
    if (open) parts.push({ bytes: bytes.subarray(from, end), wanted: wantedOpen })
  }
  walk(bytes, known, (tag, start, to) => {
    const wanted = tags === null || tags[tag] === 1
    const goesOn =
      open && wanted === wantedOpen && (!wanted || (cut !== 'message' && joins(previous, tag)))
    if (!goesOn) {
      close()
      from = start
    }
    open = true
    wantedOpen = wanted
    end = to
    previous = tag
  })
  close()
  return parts
}
