/** Cuts a unit of whole messages for one step, which may want less of it than the unit holds. */
import type { Cut, Part, Share } from '../protocol.ts'
import { walk } from './messages.ts'
import { lengthAt } from './reader.ts'

/** What `partsOf` would come to, found without making anything. */
export function shareOf(
  bytes: Uint8Array,
  cut: Cut,
  tags: Uint8Array | null,
  joins: (previous: number, tag: number) => boolean,
): Share {
  let wanted = 0
  let others = 0
  let isOne = true
  let previous = 0
  for (let at = 0; at < bytes.length; at += 1 + lengthAt(bytes, at)) {
    const tag = bytes[at]!
    if (tags !== null && tags[tag] !== 1) others++
    else if (wanted++ > 0) isOne &&= cut !== 'message' && joins(previous, tag)
    previous = tag
  }
  if (wanted === 0) return 'none'
  return others === 0 && isOne ? 'whole' : 'parts'
}

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
