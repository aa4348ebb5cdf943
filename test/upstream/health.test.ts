import { afterEach, beforeEach, describe, expect, jest, test } from 'bun:test'
import {
  Health,
  PROBE_BACKOFF_MS,
  PROBE_BACKOFF_MS_MAX,
  PROBE_HURRY_MS,
  PROBE_HURRY_MS_MAX,
  type Watching,
} from '../../src/upstream/health.ts'
import type { Probed } from '../../src/upstream/probe.ts'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

const FAILED: Probed = { kind: 'failed', cause: 'ECONNREFUSED' }
const ANSWERED: Probed = { kind: 'answered' }
const PERIOD_MS = 60_000

/** A health that is watched; probes are answered by the test. */
function watched(options: Partial<Watching> & { readonly attemptsMax?: number } = {}) {
  const asked: { readonly settle: (probed: Probed) => void; readonly aborted: AbortSignal }[] = []
  const changes: string[] = []
  const health = new Health(options.attemptsMax ?? 4)
  const watching: Watching = {
    periodMs: PERIOD_MS,
    atOnce: false,
    probe: (aborted) => new Promise((settle) => void asked.push({ settle, aborted })),
    changed: (state, cause) => changes.push(`${state} ${cause}`.trimEnd()),
    ...options,
  }
  health.watch(watching)
  return {
    health,
    watching,
    changes,
    asked,
    async answer(probed: Probed): Promise<void> {
      asked.at(-1)!.settle(probed)
      // The promise of the probe, and what waits for it.
      for (let turn = 0; turn < 3; turn++) await Promise.resolve()
    },
  }
}

const pass = (ms: number): void => void jest.advanceTimersByTime(ms)

describe('an upstream that is up', () => {
  test('is probed every period, beginning with its end', async () => {
    const { health, asked, answer } = watched()
    pass(PERIOD_MS - 1)
    expect(asked).toHaveLength(0)
    for (let count = 1; count <= 3; count++) {
      pass(count === 1 ? 1 : PERIOD_MS)
      expect(asked).toHaveLength(count)
      await answer(ANSWERED)
    }
    expect(health).toMatchObject({ state: 'up', reachable: true, probes: 3, probeFailures: 0 })
  })

  test('is probed at once where that is asked for, and not again before the answer', async () => {
    const { asked, answer } = watched({ atOnce: true })
    expect(asked).toHaveLength(1)
    pass(10 * PERIOD_MS)
    expect(asked).toHaveLength(1)
    await answer(ANSWERED)
    pass(PERIOD_MS)
    expect(asked).toHaveLength(2)
  })

  test('is not probed with a period of 0, until it is not up any more', async () => {
    const { health, asked, answer } = watched({ periodMs: 0 })
    pass(100 * PERIOD_MS)
    expect(asked).toHaveLength(0)
    health.attemptFailed('ECONNREFUSED')
    expect(asked).toHaveLength(1)
    await answer(FAILED)
    pass(PROBE_BACKOFF_MS)
    await answer(ANSWERED)
    pass(100 * PERIOD_MS)
    expect(asked).toHaveLength(2)
  })
})

describe('one failed attempt', () => {
  test('leaves an upstream out until a probe, which follows at once, is answered', async () => {
    const { health, asked, answer, changes } = watched()
    health.attemptFailed('ETIMEDOUT')
    expect(health).toMatchObject({ state: 'suspected', usable: false, reachable: false })
    expect(asked).toHaveLength(1)
    health.attemptFailed('ETIMEDOUT')
    expect(asked).toHaveLength(1)
    await answer(ANSWERED)
    expect(health).toMatchObject({ state: 'up', usable: true, lastError: 'ETIMEDOUT' })
    expect(changes).toEqual([])
  })

  test('is not enough to be out: as many as a dial makes are, and that is told once', async () => {
    const { health, answer, changes } = watched({ attemptsMax: 3 })
    health.attemptFailed('ECONNREFUSED')
    for (const state of ['suspected', 'suspected', 'out', 'out']) {
      await answer(FAILED)
      expect(health.state).toBe(state as never)
      pass(PROBE_BACKOFF_MS_MAX)
    }
    expect(changes).toEqual(['out ECONNREFUSED'])
  })
})

test('a doubt is settled by a probe, and by one alone', async () => {
  const { health, asked, answer } = watched()
  health.doubt()
  health.doubt()
  expect({ asked: asked.length, state: health.state }).toEqual({ asked: 1, state: 'up' })
  await answer({ kind: 'failed', cause: 'no connection within 5000 ms' })
  expect(health.state).toBe('suspected')
  health.doubt()
  expect(asked).toHaveLength(1)
})

describe('an upstream that is out', () => {
  test('is out at once when a dial has used all its attempts', () => {
    const { health, changes } = watched()
    health.dialFailed('ECONNREFUSED')
    health.dialFailed('ECONNREFUSED')
    expect(health).toMatchObject({ state: 'out', lastError: 'ECONNREFUSED' })
    expect(changes).toEqual(['out ECONNREFUSED'])
  })

  test('is probed with growing waits, half a minute at most', async () => {
    const { health, asked, answer } = watched()
    health.dialFailed('ECONNREFUSED')
    const waits = [1000, 2000, 4000, 8000, 16_000, PROBE_BACKOFF_MS_MAX, PROBE_BACKOFF_MS_MAX]
    for (const [count, wait] of waits.entries()) {
      await answer(FAILED)
      pass(wait - 1)
      expect(asked).toHaveLength(count + 1)
      pass(1)
      expect(asked).toHaveLength(count + 2)
    }
    expect(health).toMatchObject({ probes: 7, probeFailures: 7 })
  })

  test('is probed no less often than one that is up', async () => {
    const { health, asked, answer } = watched({ periodMs: 200 })
    health.dialFailed('ECONNREFUSED')
    for (let count = 1; count < 5; count++) {
      await answer(FAILED)
      pass(200)
      expect(asked).toHaveLength(count + 1)
    }
  })

  test('comes back with the first probe that is answered, and that is told once', async () => {
    const { health, answer, changes } = watched()
    health.dialFailed('ECONNREFUSED')
    await answer(ANSWERED)
    expect(health).toMatchObject({ state: 'up', reachable: true })
    expect(changes).toEqual(['out ECONNREFUSED', 'up'])
  })

  test('does not come back by a connection alone: the probe that follows must agree', async () => {
    const { health, asked, answer, changes } = watched({ attemptsMax: 1, atOnce: true })
    await answer({ kind: 'failed', cause: 'no answer within 5 ms' })
    expect(health.state).toBe('out')
    health.connected()
    expect(health).toMatchObject({ state: 'out', reachable: true })
    expect(asked).toHaveLength(2)
    await answer({ kind: 'failed', cause: 'no answer within 5 ms' })
    expect(changes).toEqual(['out no answer within 5 ms'])
  })

  test('comes back by a connection where nobody probes', () => {
    const health = new Health(1)
    health.dialFailed('ECONNREFUSED')
    expect(health.usable).toBe(false)
    health.connected()
    expect(health).toMatchObject({ state: 'up', reachable: true })
  })
})

describe('a stop', () => {
  test('ends the probe under way and those to come, whatever is found after', async () => {
    const { health, asked, answer, changes } = watched({ atOnce: true, attemptsMax: 1 })
    const ended = health.stop()
    const again = health.stop()
    expect(asked[0]?.aborted.aborted).toBe(true)
    await answer(FAILED)
    await Promise.all([ended, again])
    health.dialFailed('ECONNREFUSED')
    pass(100 * PERIOD_MS)
    expect({ asked: asked.length, probes: health.probes, changes }).toEqual({
      asked: 1,
      probes: 0,
      changes: [],
    })
  })

  test('is no end: who watches again goes on with what is known', async () => {
    const { health, watching, asked, answer, changes } = watched()
    health.dialFailed('ECONNREFUSED')
    void health.stop()
    health.watch(watching)
    expect(asked).toHaveLength(2)
    await answer(ANSWERED)
    expect(changes).toEqual(['out ECONNREFUSED', 'up'])
  })
})

test('a probe that throws is one that failed', async () => {
  const { health } = watched({ atOnce: true, probe: () => Promise.reject(new Error('odd')) })
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  expect(health).toMatchObject({ state: 'suspected', lastError: 'Error: odd' })
})

describe('what a probe finds is awaited', () => {
  test('probes follow each other closely, and less so where nobody answers', async () => {
    const { health, asked, answer } = watched()
    health.hurry(true)
    expect(asked).toHaveLength(1)
    const waits = [
      [ANSWERED, PROBE_HURRY_MS],
      [FAILED, PROBE_HURRY_MS],
      [FAILED, 2 * PROBE_HURRY_MS],
      [FAILED, PROBE_HURRY_MS_MAX],
      [FAILED, PROBE_HURRY_MS_MAX],
      [ANSWERED, PROBE_HURRY_MS],
    ] as const
    for (const [index, [probed, waitMs]] of waits.entries()) {
      await answer(probed)
      pass(waitMs - 1)
      expect(asked).toHaveLength(index + 1)
      pass(1)
      expect(asked).toHaveLength(index + 2)
    }
    health.hurry(false)
    await answer(ANSWERED)
    pass(PERIOD_MS - 1)
    expect(asked).toHaveLength(waits.length + 1)
  })

  test('also with a period of 0', async () => {
    const { health, asked, answer } = watched({ periodMs: 0 })
    health.hurry(true)
    await answer(ANSWERED)
    pass(PROBE_HURRY_MS)
    expect(asked).toHaveLength(2)
  })
})

describe('something has happened', () => {
  test('a probe is made at once, and not more than one in a while', async () => {
    const { health, asked, answer } = watched()
    health.recheck()
    expect(asked).toHaveLength(1)
    await answer(ANSWERED)
    for (let times = 0; times < 100; times++) health.recheck()
    expect(asked).toHaveLength(1)
    pass(PROBE_HURRY_MS)
    expect(asked).toHaveLength(2)
  })

  test('while a probe is under way: another follows, as the first may be too early', async () => {
    const { health, asked, answer } = watched({ atOnce: true })
    health.recheck()
    await answer(ANSWERED)
    pass(PROBE_HURRY_MS)
    expect(asked).toHaveLength(2)
    await answer(ANSWERED)
    pass(PERIOD_MS - 1)
    expect(asked).toHaveLength(2)
  })

  test('whatever is found is told', async () => {
    let told = 0
    const { health, answer } = watched({
      atOnce: true,
      found: () => {
        told += 1
      },
    })
    await answer(ANSWERED)
    expect(told).toBe(1)
    health.attemptFailed('ECONNREFUSED')
    expect(told).toBe(2)
    health.dialFailed('ECONNREFUSED')
    expect(told).toBe(3)
  })
})
