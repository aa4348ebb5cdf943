/** Sessions that are wrong in the way of bad networks and bad programs: a little, anywhere. */
import type { Random } from '../../kit/pipelines.ts'

const HEADER_LENGTH = 5
const LENGTH_AT = 1

/** Where messages with a type begin; what cannot be one ends the list. */
function beginnings(bytes: Uint8Array, from: number): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found: number[] = []
  for (let at = from; at + HEADER_LENGTH <= bytes.length; ) {
    found.push(at)
    const length = view.getUint32(at + LENGTH_AT)
    if (length < 4) break
    at += 1 + length
  }
  return found
}

interface Subject {
  readonly random: Random
  readonly bytes: Buffer
  /** Begins of messages, at least one. */
  readonly begins: readonly number[]
}

/** From the begin of a message to that of the next. */
function messageOf({ bytes, begins }: Subject, index: number): Buffer {
  return bytes.subarray(begins[index], begins[index + 1] ?? bytes.length)
}

/** With what lies from `from` to `to` replaced. */
function spliced(bytes: Buffer, from: number, to: number, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([bytes.subarray(0, from), ...parts, bytes.subarray(to)])
}

type Mutation = (subject: Subject, other: Uint8Array) => Buffer

const MUTATIONS: readonly Mutation[] = [
  function bitFlipped({ bytes, random }) {
    const at = random.below(bytes.length)
    return spliced(bytes, at, at + 1, Uint8Array.of(bytes[at]! ^ (1 << random.below(8))))
  },
  function cutOff({ bytes, random }) {
    return bytes.subarray(0, random.below(bytes.length))
  },
  function partLost({ bytes, random }) {
    const at = random.below(bytes.length)
    return spliced(bytes, at, at + 1 + random.below(40))
  },
  function partTwice({ bytes, random }) {
    const at = random.below(bytes.length)
    return spliced(bytes, at, at, bytes.subarray(at, at + 1 + random.below(40)))
  },
  function messageTwice(subject) {
    const index = subject.random.below(subject.begins.length)
    const at = subject.begins[index]!
    return spliced(subject.bytes, at, at, messageOf(subject, index))
  },
  function messageLost(subject) {
    const index = subject.random.below(subject.begins.length)
    const at = subject.begins[index]!
    return spliced(subject.bytes, at, at + messageOf(subject, index).length)
  },
  function messagesSwapped(subject) {
    const index = subject.random.below(subject.begins.length)
    if (index + 1 >= subject.begins.length) return subject.bytes
    const [first, second] = [messageOf(subject, index), messageOf(subject, index + 1)]
    const at = subject.begins[index]!
    return spliced(subject.bytes, at, at + first.length + second.length, second, first)
  },
  function lengthEdited({ bytes, begins, random }) {
    const at = random.pick(begins) + LENGTH_AT
    if (at + 4 > bytes.length) return bytes
    const length = bytes.readUInt32BE(at)
    const choices = [0, 3, 4, length + 1, length - 1, length + 100, 0x7fff_ffff, 0xffff_ffff]
    const edited = Buffer.from(bytes)
    edited.writeUInt32BE(random.pick([...choices, random.below(70_000)]) >>> 0, at)
    return edited
  },
  function typeEdited({ bytes, begins, random }) {
    const at = random.pick(begins)
    return spliced(bytes, at, at + 1, Uint8Array.of(random.below(256)))
  },
  function randomBytes({ bytes, random }) {
    const at = random.below(bytes.length)
    const made = new Uint8Array(1 + random.below(60)).map(() => random.below(256))
    return spliced(bytes, at, at + random.below(2) * made.length, made)
  },
  function crossedWithAnother({ bytes, random }, other) {
    const at = random.below(bytes.length)
    return spliced(bytes, at, bytes.length, other.subarray(random.below(other.length)))
  },
]

/**
 * One to four mutations. Typed messages begin at `typedFrom`; before lies a packet without a type,
 * which is spared mostly, so that what follows is heard at all.
 */
export function mutated(
  random: Random,
  bytes: Uint8Array,
  { typedFrom, other }: { readonly typedFrom: number; readonly other: Uint8Array },
): Uint8Array {
  const spared = random.chance(0.9) ? typedFrom : 0
  const head = bytes.subarray(0, spared)
  let tail: Buffer = Buffer.from(bytes.subarray(spared))
  for (let count = 1 + random.below(4); count > 0 && tail.length > 0; count--) {
    const found = beginnings(tail, typedFrom - spared)
    tail = random.pick(MUTATIONS)(
      { random, bytes: tail, begins: found.length > 0 ? found : [0] },
      other,
    )
  }
  return Buffer.concat([head, tail])
}
