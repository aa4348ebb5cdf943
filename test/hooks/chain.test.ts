import { describe, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { bytesOf, DENY, FAILURE, type Fake, noting, replaceBy, rig } from './rig.ts'

const late = async (verdict: TrafficVerdict): Promise<TrafficVerdict> => verdict

describe('order', () => {
  test('steps run in order, and each gets what the one before made', () => {
    const seen: string[] = []
    const { out, now } = rig([
      noting(seen),
      { decide: () => replaceBy('b') },
      noting(seen),
      { decide: () => replaceBy('c') },
    ])
    now('a')
    expect(seen).toEqual(['a', 'b'])
    expect(out).toEqual(['forward c'])
  })

  test('without steps a unit goes on as it came', () => {
    const { out, run } = rig([])
    expect(run('a')).toBeUndefined()
    expect(out).toEqual(['forward a'])
  })

  const endings: readonly [TrafficVerdict, string][] = [
    [{ kind: 'respond', bytes: bytesOf('r') }, 'respond a r'],
    [DENY, 'deny a 42501'],
    [{ kind: 'route', block: 'reads' }, 'forward a'],
    [{ kind: 'close', bytes: bytesOf('bye') }, 'close bye'],
    [{ kind: 'close' }, 'close '],
  ]
  for (const [verdict, expected] of endings) {
    test(`${verdict.kind} ends the chain: ${expected}`, async () => {
      for (const decide of [() => verdict, () => late(verdict)]) {
        const seen: string[] = []
        const { out, run } = rig([{ decide }, noting(seen)])
        await run('a')
        expect(seen).toEqual([])
        expect(out.at(-1)).toBe(expected)
      }
    })
  }

  test('a replacement by nothing drops the unit, and later steps are not asked', () => {
    const seen: string[] = []
    const { out, now } = rig([{ decide: () => replaceBy('') }, noting(seen)])
    now('a')
    expect([seen, out]).toEqual([[], []])
  })
})

describe('a chain of synchronous steps', () => {
  const verdicts: readonly TrafficVerdict[] = [
    CONTINUE,
    { kind: 'continue' },
    replaceBy('b'),
    { kind: 'respond', bytes: bytesOf('r') },
    DENY,
    { kind: 'route', block: 'reads' },
    { kind: 'close' },
    FAILURE,
  ]
  for (const unit of ['message', 'batch', 'reply'] as const) {
    test(`makes no promise, with units of a ${unit}`, () => {
      for (const verdict of verdicts) {
        const { out, run } = rig([
          { unit, decide: () => CONTINUE },
          { unit, decide: () => verdict },
        ])
        expect(run('a')).toBeUndefined()
        expect(out.length).toBeGreaterThan(0)
      }
    })
  }
})

describe('a step that returns a promise', () => {
  test('is waited for, and nothing goes on before', async () => {
    const { promise, resolve } = Promise.withResolvers<TrafficVerdict>()
    const seen: string[] = []
    const { out, run } = rig([noting(seen), { decide: () => promise }, noting(seen)])
    const waiting = run('a')
    expect(waiting).toBeInstanceOf(Promise)
    expect([seen, out]).toEqual([['a'], []])
    resolve(replaceBy('b'))
    await waiting
    expect([seen, out]).toEqual([['a', 'b'], ['forward b']])
  })

  test('keeps the order of messages within a batch', async () => {
    const waits = [3, 1, 2]
    const { out, run } = rig([
      {
        unit: 'message',
        decide: async (text) => {
          for (let turns = waits.shift()!; turns > 0; turns--) await Promise.resolve()
          return replaceBy(text.toUpperCase())
        },
      },
      { unit: 'batch', decide: () => CONTINUE },
    ])
    await run('abc')
    expect(out).toEqual(['forward ABC'])
  })

  test('that rejects against its promise is told to who runs the chain', async () => {
    const { run } = rig([{ decide: () => Promise.reject(new Error('it broke')) }])
    await expect(run('a')).rejects.toThrow('it broke')
  })

  test('decides nothing any more once the session is over', async () => {
    const verdicts = [replaceBy('b'), DENY, { kind: 'route', block: 'reads' }] as const
    for (const verdict of verdicts) {
      const { promise, resolve } = Promise.withResolvers<TrafficVerdict>()
      const seen: string[] = []
      const { out, run, sink } = rig([{ decide: () => promise }, noting(seen)])
      const waiting = run('a')
      sink.over = true
      resolve(verdict)
      await waiting
      expect([seen, out]).toEqual([[], []])
    }
  })

  test('that fails is counted although the session is over', async () => {
    const { promise, resolve } = Promise.withResolvers<TrafficVerdict>()
    const { out, run, sink } = rig([{ decide: () => promise, onFailure: 'closed' }])
    const waiting = run('a')
    sink.over = true
    resolve(FAILURE)
    await waiting
    expect(out).toEqual(['failed step0: it fell'])
  })
})

describe('a step that fails', () => {
  test('and is open lets the next step get what it got itself, and is reported', async () => {
    for (const decide of [() => FAILURE, () => late(FAILURE)]) {
      const seen: string[] = []
      const { out, run } = rig([{ decide: () => replaceBy('b') }, { decide }, noting(seen)])
      await run('a')
      expect(seen).toEqual(['b'])
      expect(out).toEqual(['failed step1: it fell', 'forward b'])
    }
  })

  test('and is closed refuses by name, with 58000', () => {
    const { out, now } = rig([{ decide: () => FAILURE, onFailure: 'closed' }])
    now('a')
    expect(out).toEqual(['failed step0: it fell', 'deny a 58000'])
  })

  test('is asked again with the next unit: it is never removed', () => {
    const { out, now } = rig([{ decide: () => FAILURE }])
    now('a')
    now('b')
    expect(out).toEqual([
      'failed step0: it fell',
      'forward a',
      'failed step0: it fell',
      'forward b',
    ])
  })

  const unusable: readonly [string, TrafficVerdict, string][] = [
    ['a malformed replacement', replaceBy('b!'), 'unusable replacement: it has a "!"'],
    [
      'a malformed answer',
      { kind: 'respond', bytes: bytesOf('!') },
      'unusable answer: it has a "!"',
    ],
    ['a route to nowhere', { kind: 'route', block: 'moon' }, 'there is no block "moon"'],
  ]
  for (const [what, verdict, cause] of unusable) {
    test(`is one that gives ${what}`, () => {
      const open = rig([{ decide: () => verdict }])
      open.now('a')
      expect(open.out.slice(-2)).toEqual([`failed step0: ${cause}`, 'forward a'])
      const closed = rig([{ decide: () => verdict, onFailure: 'closed' }])
      closed.now('a')
      expect(closed.out.slice(-2)).toEqual([`failed step0: ${cause}`, 'deny a 58000'])
    })
  }
})

describe('units', () => {
  test('a step is given only the messages that it named; others pass it by in their place', () => {
    const seen: string[] = []
    const { out, now } = rig([noting(seen, { tags: 'b' })])
    for (const text of ['a', 'b', 'c']) now(text)
    expect(seen).toEqual(['b'])
    expect(out).toEqual(['forward a', 'forward b', 'forward c'])
  })

  test('are cut and joined again between steps of different width', () => {
    const seen: string[] = []
    const doubling: Fake = { decide: (text) => replaceBy(text + text) }
    const { out, now } = rig([
      noting(seen, { unit: 'batch' }),
      doubling,
      noting(seen, { unit: 'batch' }),
    ])
    now('abc')
    expect(seen).toEqual(['abc', 'aabbcc'])
    expect(out).toEqual(['forward aabbcc'])
  })

  test('of a batch are single messages for a step of messages, whatever observers want', () => {
    const seen: string[] = []
    const { out, now } = rig([noting(seen)], { cut: 'reply' })
    now('abc')
    expect(seen).toEqual(['a', 'b', 'c'])
    expect(out).toEqual(['forward abc'])
  })

  test('a message that is refused keeps its place between those that pass', () => {
    const seen: string[] = []
    const { out, now } = rig([
      { decide: (text) => (text === 'b' ? DENY : CONTINUE) },
      noting(seen, { unit: 'batch' }),
    ])
    now('abcd')
    expect(seen).toEqual(['a', 'cd'])
    expect(out).toEqual(['forward a', 'deny b 42501', 'forward cd'])
  })

  test('behind last words nothing more is delivered', () => {
    const { out, now } = rig([
      { decide: (text) => (text === 'b' ? { kind: 'close' } : CONTINUE) },
      { unit: 'batch', decide: () => CONTINUE },
    ])
    now('abc')
    expect(out).toEqual(['forward a', 'close '])
  })

  test('carry what a step left for the later ones, and nothing over to the next unit', () => {
    const seen: unknown[] = []
    const { now } = rig([
      {
        decide: (text, carried) => {
          seen.push(carried.fields)
          carried.fields = { by: text }
          return CONTINUE
        },
      },
      {
        decide: (_text, carried) => {
          seen.push(carried.fields)
          return CONTINUE
        },
      },
    ])
    now('a')
    now('b')
    expect(seen).toEqual([null, { by: 'a' }, null, { by: 'b' }])
  })
})

describe('steps that take units as the stream is cut', () => {
  const cut = { made: 'abc' }

  test('get them without a look at their parts, up to the first that wants others', () => {
    const seen: string[] = []
    const fakes: readonly Fake[] = [
      { ...noting(seen, { unit: 'batch' }), tags: 'abcd' },
      { ...noting(seen, { unit: 'batch' }), tags: 'ab' },
      noting(seen),
    ]
    const { out, now } = rig(fakes, cut)
    now('abc')
    expect(seen).toEqual(['abc', 'ab', 'a', 'b', 'c'])
    expect(out).toEqual(['forward abc'])
  })

  test('answer at once; an answer that cannot be used fails the step', () => {
    for (const [bytes, expected] of [
      ['r', ['respond ab r']],
      ['!', ['failed step0: unusable answer: it has a "!"', 'forward ab']],
    ] as const) {
      const decide = (): TrafficVerdict => ({ kind: 'respond', bytes: bytesOf(bytes) })
      const { out, now } = rig([{ unit: 'batch', decide }], cut)
      now('ab')
      expect(out).toEqual([...expected])
    }
  })

  test('are not shown what they did not ask for', () => {
    const seen: string[] = []
    const { out, now } = rig([{ ...noting(seen, { unit: 'batch' }), tags: 'abc' }], cut)
    now('x')
    expect([seen, out]).toEqual([[], ['forward x']])
  })
})

describe('too large', () => {
  test('a message fails every step that wants it, and streams past where all are open', () => {
    const { chain, out } = rig([
      { decide: () => DENY },
      { decide: () => DENY, tags: 'b' },
      { decide: () => DENY, tags: 'a' },
    ])
    expect(chain.oversize(bytesOf('a'))).toBe(true)
    const told = 'a message is larger than messageBytesMax'
    expect(out).toEqual([`failed step0: ${told}`, `failed step2: ${told}`])
  })

  test('a message is refused with 54000 by the first step that is closed', () => {
    const { chain, out } = rig([
      { decide: () => CONTINUE },
      { decide: () => CONTINUE, onFailure: 'closed' },
    ])
    expect(chain.oversize(bytesOf('a'))).toBe(false)
    expect(out.at(-1)).toBe('deny a 54000')
  })

  test('a reply in parts fails steps of replies once, and feeds those of messages', () => {
    const seen: string[] = []
    const whole: string[] = []
    const { out, now } = rig([noting(seen), noting(whole, { unit: 'reply' })])
    now('ab', true)
    now('cd', true)
    now('e')
    now('f', true)
    expect(seen).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
    expect(whole).toEqual(['e'])
    const told = 'failed step1: a reply is larger than messageBytesMax'
    expect(out).toEqual([told, 'forward ab', 'forward cd', 'forward e', told, 'forward f'])
  })

  test('a reply in parts is refused with 54000 by a step that is closed', () => {
    const { out, now } = rig([{ unit: 'reply', decide: () => CONTINUE, onFailure: 'closed' }])
    now('ab', true)
    expect(out.at(-1)).toBe('deny ab 54000')
  })
})
