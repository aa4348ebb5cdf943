import { describe, expect, test } from 'bun:test'
import { lengthAt, MessageReader } from '../../../src/protocols/postgres/reader.ts'
import type { Cut, Wanted } from '../../../src/protocols/protocol.ts'
import { concat, message } from '../../kit/frontend.ts'
import { type Random, seeded } from '../../kit/pipelines.ts'
import {
  bench,
  DROPPED,
  ENDS,
  feed,
  hex,
  LETTERS,
  letterOf,
  messagesOf,
  OWN,
  OWN_MESSAGE,
  REWRITTEN,
  Script,
  type Taken,
  tableOf,
  take,
  written,
} from './reader-bench.ts'

const SEEDS = 600
const CUTS: readonly Cut[] = ['message', 'batch', 'reply']

function randomMessages(random: Random, letters = LETTERS): Uint8Array[] {
  return Array.from({ length: 1 + random.below(40) }, () => {
    const size = random.chance(0.1) ? random.below(3000) : random.below(40)
    const body = new Uint8Array(size).map(() => random.below(256))
    return message(random.pick([...letters]), body)
  })
}

function randomChunks(random: Random, bytes: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = []
  const most = random.pick([1, 7, 60, 5000])
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(most)
    chunks.push(bytes.slice(at, at + size))
    at += size
  }
  return chunks
}

function randomWanted(random: Random): Wanted {
  const letters = [...LETTERS].filter(() => random.chance(0.6)).join('')
  return { cut: random.pick(CUTS), tags: random.chance(0.15) ? null : tableOf(letters) }
}

/** As toEqual, for the thousands of looks that a property takes. */
function same(seed: number, found: unknown, expected: unknown): void {
  if (!Bun.deepEquals(found, expected)) {
    expect({ seed, found }).toEqual({ seed, found: expected })
  }
}

describe('any stream, cut anywhere, for any wish', () => {
  test('comes out as it went in, and nothing is held at its end', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const input = concat(...randomMessages(random))
      const { reader, budget } = bench(randomWanted(random))
      const all = feed(reader, randomChunks(random, input))
      reader.end()
      all.push(...take(reader))
      same(seed, hex(written(all)), hex(input))
      same(seed, budget.held, 0)
    }
  })

  test('gives units of whole, wanted messages: one, or as many as may stand together', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const wanted = randomWanted(random)
      const { reader } = bench(wanted)
      const all = feed(reader, randomChunks(random, concat(...randomMessages(random))))
      for (const { bytes, kind, over } of all) {
        same(seed, over, false)
        if (kind === 'pass') continue
        same(seed, kind, 'unit')
        const letters = messagesOf(bytes).map((one) => one.charAt(0))
        same(
          seed,
          letters.every((letter) => wanted.tags?.[letter.charCodeAt(0)] === 1),
          true,
        )
        if (wanted.cut === 'message') same(seed, letters.length, 1)
        same(seed, letters.slice(1).includes('b'), false)
        same(seed, letters.slice(0, -1).includes('c'), false)
      }
    }
  })

  test('gives a reply whole, up to its end, however it was cut', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const { reader } = bench({ cut: 'reply', tags: tableOf(LETTERS) })
      const replies = Array.from({ length: 3 }, () =>
        concat(...randomMessages(random, 'ade'), message(ENDS)),
      )
      const all = feed(reader, randomChunks(random, concat(...replies)))
      same(
        seed,
        all.map(({ bytes }) => hex(bytes)),
        replies.map(hex),
      )
    }
  })

  test('is written with our own messages between its messages, never within one', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const input = concat(...randomMessages(random))
      const { reader } = bench(randomWanted(random), random.pick([50, 2 ** 20]))
      let own = 0
      const all: Taken[] = []
      for (const chunk of randomChunks(random, input)) {
        reader.push(chunk)
        if (random.chance(0.2)) own += reader.due.push(OWN_MESSAGE) > 0 ? 1 : 0
        all.push(...take(reader))
        if (random.chance(0.2)) own += reader.due.push(OWN_MESSAGE) > 0 ? 1 : 0
        all.push(...take(reader))
      }
      reader.end()
      all.push(...take(reader))
      const messages = messagesOf(written(all))
      const others = messages.filter((one) => one.charAt(0) !== OWN)
      same(seed, messages.length - others.length, own)
      same(seed, others.join(''), Buffer.from(input).toString('latin1'))
    }
  })

  test('loses exactly the messages that are dropped, and none around them', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const messages = randomMessages(random, LETTERS + DROPPED)
      const { reader, budget } = bench(randomWanted(random))
      const all = feed(reader, randomChunks(random, concat(...messages)))
      reader.end()
      all.push(...take(reader))
      const kept = messages.filter((one) => letterOf(one[0]!) !== DROPPED)
      same(seed, hex(written(all)), hex(concat(...kept)))
      same(seed, budget.held, 0)
    }
  })

  test('has messages rewritten in their place', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const messages = randomMessages(random, LETTERS + REWRITTEN)
      const { reader, judge, budget } = bench(randomWanted(random))
      judge.rewritten = random.pick([null, new Uint8Array(0), OWN_MESSAGE])
      const all = feed(reader, randomChunks(random, concat(...messages)))
      reader.end()
      all.push(...take(reader))
      const expected = messages.map((one) =>
        letterOf(one[0]!) === REWRITTEN ? (judge.rewritten ?? one) : one,
      )
      same(seed, hex(written(all)), hex(concat(...expected)))
      same(seed, budget.held, 0)
    }
  })

  test('passes messages larger than messageBytesMax unheld, or loses them whole', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const messages = randomMessages(random)
      const wanted = randomWanted(random)
      const max = 100
      const { reader, budget } = bench(wanted, max)
      const fate = random.pick(['stream', 'drop'] as const)
      let heldMost = 0
      const all = randomChunks(random, concat(...messages)).flatMap((chunk) => {
        reader.push(chunk)
        const pieces = take(reader, () => fate)
        heldMost = Math.max(heldMost, budget.held)
        return pieces
      })
      reader.end()
      all.push(...take(reader, () => fate))
      const isLost = (one: Uint8Array): boolean =>
        fate === 'drop' && wanted.tags?.[one[0]!] === 1 && one.length > max
      const expected = concat(...messages.filter((one) => !isLost(one)))
      same(seed, hex(written(all)), hex(expected))
      same(seed, heldMost <= max, true)
      same(seed, budget.held, 0)
      for (const { bytes, kind } of all) {
        if (kind === 'unit') same(seed, bytes.length <= max, true)
      }
    }
  })

  test('comes out whole though the budget of all sessions is spent', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed)
      const input = concat(...randomMessages(random))
      const heldMax = random.pick([0, 5, 60, 500])
      const { reader, budget } = bench(randomWanted(random), 2 ** 20, heldMax)
      const all = randomChunks(random, input).flatMap((chunk) => {
        reader.push(chunk)
        const pieces = take(reader)
        same(seed, budget.held <= heldMax, true)
        return pieces
      })
      reader.end()
      all.push(...take(reader))
      same(seed, hex(written(all)), hex(input))
      same(seed, budget.held, 0)
      for (const { bytes, kind } of all) if (kind === 'unit') messagesOf(bytes)
    }
  })
})

describe('bytes that are no message', () => {
  const cases = [
    ['an unknown type', [0x21, 0, 0, 0, 4], 'begins with the byte 0x21, which is no message type'],
    [
      'a length below 4',
      [0x61, 0, 0, 0, 3],
      "a message of type 'a' declares an invalid length of 3",
    ],
    ['a negative length', [0x61, 0xff, 0xff, 0xff, 0xff], 'an invalid length of 4294967295'],
  ] as const

  for (const [what, bytes, why] of cases) {
    test(`${what} is a violation, behind everything before it`, () => {
      for (const tags of [null, tableOf('ab'), tableOf('b')]) {
        for (const cut of CUTS) {
          const { reader } = bench({ cut, tags })
          const sound = concat(message('a'), message('a', new Uint8Array(9)))
          reader.push(concat(sound, new Uint8Array(bytes)))
          const pieces = take(reader)
          expect(pieces.at(-1)?.kind).toBe('violation')
          expect(hex(written(pieces.slice(0, -1)))).toBe(hex(sound))
          expect(reader.violation).toContain(why)
        }
      }
    })
  }

  test('a violation is seen though its header comes byte by byte', () => {
    const { reader } = bench({ cut: 'message', tags: null })
    const pieces = feed(
      reader,
      [[0x21], [0], [0], [0], [9]].map((one) => new Uint8Array(one)),
    )
    expect(pieces.map(({ kind }) => kind)).toEqual(['violation'])
  })
})

describe('the end of the source', () => {
  test('gives what is whole of a reply, and forgets the message that was cut', () => {
    const { reader, budget } = bench({ cut: 'reply', tags: tableOf(LETTERS) })
    const whole = message('d', new Uint8Array(10))
    expect(feed(reader, [concat(whole, message('e', new Uint8Array(10)).slice(0, 9))])).toEqual([])
    reader.end()
    expect(take(reader)).toEqual([{ kind: 'unit', bytes: whole, over: true }])
    reader.release()
    expect(budget.held).toBe(0)
  })

  test('a part of a message that has passed is known, so that nobody writes into it', () => {
    const { reader } = bench({ cut: 'message', tags: null })
    const cut = message('d', new Uint8Array(10))
    feed(reader, [cut.slice(0, 3)])
    expect(reader.midMessage).toBe(false)
    feed(reader, [cut.slice(3, 9)])
    expect(reader.midMessage).toBe(true)
    feed(reader, [cut.slice(9)])
    expect(reader.midMessage).toBe(false)
  })
})

test('a length is an unsigned number of four bytes', () => {
  expect(lengthAt(new Uint8Array([0, 0xff, 0xff, 0xff, 0xfe]), 0)).toBe(4294967294)
  expect(lengthAt(new Uint8Array([9, 9, 0, 0, 1, 2]), 1)).toBe(258)
})

test('nothing is kept of a chunk that was worked off, wherever it was cut', () => {
  const bytes = message('a', new Uint8Array(100))
  for (const length of [3, 5, 50, bytes.length]) {
    const { reader } = bench({ cut: 'message', tags: null })
    feed(reader, [bytes.slice(0, length)])
    expect(reader.bytes).toHaveLength(0)
  }
})

test('messages that mean nothing cost one piece, however many came', () => {
  const { reader } = bench({ cut: 'message', tags: tableOf('z') })
  const rows = Array.from({ length: 500 }, () => message('a', new Uint8Array(20)))
  const pieces = feed(reader, [concat(...rows)])
  expect(pieces.map(({ kind }) => kind)).toEqual(['pass'])
})

test('the bytes of a tapped message are given to the judge while it passes', () => {
  const wanted: Wanted = { cut: 'message', tags: null }
  const judge = new Script(wanted)
  const limits = { messageBytesMax: 100, budget: { held: 0, heldMax: 100, spent: 0 } }
  const reader = new MessageReader(judge, wanted, limits)
  const tapped = message('d', new Uint8Array([1, 2, 3, 4, 5, 6]))
  const seen: string[] = []
  judge.begin = () => {
    reader.tap = new Uint8Array(tapped.length)
    return 'pass'
  }
  judge.finish = () => {
    seen.push(hex(reader.tap!))
    return false
  }
  const pieces = feed(reader, [tapped.slice(0, 2), tapped.slice(2, 7), tapped.slice(7)])
  expect(seen).toEqual([hex(tapped)])
  expect(hex(written(pieces))).toBe(hex(tapped))
})
