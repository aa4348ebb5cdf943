/** The machine of states, and what drives it: restarts, waits, the breaker, stops. */
import { describe, expect, test } from 'bun:test'
import {
  BACKOFF_MAX_MS,
  backoffMs,
  FAILURES_IN_A_ROW_MAX,
  LIFE_EVENTS,
  type LifeRequest,
  PluginLife,
  stateAfter,
} from '../../src/plugins/life.ts'
import { PLUGIN_STATES, type PluginState } from '../../src/plugins/plugin.ts'
import { KeptLog } from '../fixtures/grpc/surroundings.ts'
import { TurnedClock } from './turned-clock.ts'

test('every state has its answer to every event', () => {
  const table = PLUGIN_STATES.map((state) => [
    state,
    ...LIFE_EVENTS.map((event) => stateAfter(state, event) ?? '-'),
  ])
  expect([['', ...LIFE_EVENTS], ...table]).toEqual([
    ['', 'start', 'opened', 'failed', 'lost', 'due', 'tripped', 'stop'],
    ['starting', '-', 'ready', 'broken', '-', '-', '-', 'stopped'],
    ['ready', '-', '-', '-', 'failing', '-', 'broken', 'stopped'],
    ['failing', 'restarting', '-', '-', '-', 'restarting', 'broken', 'stopped'],
    ['restarting', '-', 'ready', 'failing', '-', '-', 'broken', 'stopped'],
    ['broken', 'starting', '-', '-', '-', 'restarting', 'broken', 'stopped'],
    ['stopped', 'starting', '-', '-', '-', '-', '-', '-'],
  ])
})

test('the first restart does not wait; then waits double, up to half a minute', () => {
  expect([1, 2, 3, 4, 5].map(backoffMs)).toEqual([0, 100, 200, 400, 800])
  expect(backoffMs(1000)).toBe(BACKOFF_MAX_MS)
})

/** A life whose body opens and fails as the test says, and which writes down what it is told. */
function scene(otherwise: Partial<LifeRequest> = {}) {
  const clock = new TurnedClock()
  const log = new KeptLog()
  const happened: string[] = []
  const states: PluginState[] = []
  let outcome: (signal: AbortSignal) => Promise<void> = () => Promise.resolve()
  const life = new PluginLife({
    body: {
      open: async (signal) => {
        happened.push('open')
        await outcome(signal)
        return () => void happened.push('use')
      },
      rest: () => void happened.push('rest'),
      discard: () => void happened.push('discard'),
      close: () => void happened.push('close'),
    },
    label: () => 'tried',
    log: log.logger,
    clock,
    restarts: true,
    stableMs: null,
    lossLevel: 'error',
    told: (state) => states.push(state),
    ...otherwise,
  })
  const opening = (next: typeof outcome): void => {
    outcome = next
  }
  return { clock, log, happened, states, life, opening }
}

const failure = () => Promise.reject(new Error('no luck'))
const success = () => Promise.resolve()

/** An outcome that the test settles. */
function held() {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  return { outcome: () => promise, resolve, reject }
}

async function ready(otherwise: Partial<LifeRequest> = {}) {
  const made = scene(otherwise)
  await made.life.start()
  made.happened.length = 0
  made.states.length = 0
  return made
}

/** Loses what is ready, and has as many restarts fail as it takes to open the breaker. */
async function broken(otherwise: Partial<LifeRequest> = {}) {
  const made = await ready(otherwise)
  made.opening(failure)
  made.life.lost('it trapped')
  for (let failures = 1; failures < FAILURES_IN_A_ROW_MAX; failures++) {
    made.clock.turn(backoffMs(failures))
    await made.life.attempt
  }
  return made
}

describe('a start', () => {
  test('opens the body, takes it into use, and is done once', async () => {
    const { life, happened, states, clock } = scene()
    expect(life.absence).toBe('the plugin was not started')
    const starting = life.start()
    expect(life.start()).toBe(starting)
    expect(life.state).toBe('starting')
    await starting
    await life.start()
    expect(happened).toEqual(['discard', 'open', 'use'])
    expect(states).toEqual(['starting', 'ready'])
    expect(life.report()).toEqual({
      state: 'ready',
      restarts: 0,
      nextTryInMs: null,
      readySince: clock.wall(),
    })
  })

  test('that fails is told to who asked, and nothing tries again', async () => {
    const { life, opening, happened, clock } = scene()
    opening(failure)
    await expect(life.start()).rejects.toThrow('no luck')
    expect(life.state).toBe('broken')
    expect(life.lastError).toBe('no luck')
    expect(life.absence).toBe('the plugin did not start: no luck')
    expect(happened).toEqual(['discard', 'open', 'discard'])
    expect(clock.waiting).toBe(0)
    opening(success)
    await life.start()
    expect(life.state).toBe('ready')
    expect(life.lastError).toBe('')
  })
})

describe('a loss', () => {
  test('is mended at once; who waits finds it ready', async () => {
    const { life, happened, states, clock } = await ready()
    life.lost('it trapped')
    expect(states).toEqual(['failing', 'restarting'])
    expect(life.absence).toBe('the plugin has failed: it trapped; it is being restarted')
    await life.attempt
    expect(life.attempt).toBeNull()
    expect(states).toEqual(['failing', 'restarting', 'ready'])
    expect(happened).toEqual(['rest', 'discard', 'discard', 'open', 'use'])
    expect(life.report()).toMatchObject({ restarts: 1, nextTryInMs: null })
    expect(life.lastError).toBe('it trapped')
    expect(clock.waiting).toBe(0)
  })

  test('that comes again is mended behind a wait, in which calls fail for a reason', async () => {
    const { life, clock } = await ready()
    life.lost('it trapped')
    await life.attempt
    life.lost('it trapped again')
    expect(life.state).toBe('failing')
    expect(life.attempt).toBeNull()
    expect(life.report().nextTryInMs).toBe(100)
    expect(life.absence).toBe(
      'the plugin has failed: it trapped again; it is restarted at 2026-01-01T00:00:00.100Z',
    )
    clock.turn(99)
    expect(life.state).toBe('failing')
    clock.turn(1)
    await life.attempt
    expect(life.state).toBe('ready')
  })

  test('behind a call that succeeded begins a new row', async () => {
    const { life } = await ready()
    for (let losses = 0; losses < 2 * FAILURES_IN_A_ROW_MAX; losses++) {
      life.lost('it trapped')
      await life.attempt
      expect(life.state).toBe('ready')
      life.succeeded()
    }
    expect(life.report().restarts).toBe(2 * FAILURES_IN_A_ROW_MAX)
  })

  test('behind a stable time begins a new row, where time tells', async () => {
    const { life, clock } = await ready({ stableMs: 1000 })
    for (let losses = 0; losses < 2 * FAILURES_IN_A_ROW_MAX; losses++) {
      clock.turn(1000)
      life.lost('it crashed')
      await life.attempt
      expect(life.state).toBe('ready')
    }
    clock.turn(999)
    life.lost('it crashed')
    expect(life.state).toBe('failing')
  })

  test('stays where nothing is restarted, until somebody starts it', async () => {
    const { life, clock, happened } = await ready({ restarts: false })
    life.lost('it crashed')
    expect(life.state).toBe('failing')
    expect(life.absence).toBe('the plugin has failed: it crashed')
    expect(happened).toEqual(['rest', 'discard'])
    expect(clock.waiting).toBe(0)
    await life.start()
    expect(life.state).toBe('ready')
  })

  test('of what is not ready is no news', async () => {
    const { life, states } = scene()
    life.lost('it crashed')
    expect(states).toEqual([])
    const starting = life.start()
    life.lost('it crashed')
    await starting
    expect(life.state).toBe('ready')
  })

  test('is logged as loudly as it is asked to be, and so is its end', async () => {
    for (const [lossLevel, losses, ends] of [
      ['error', 50, 30],
      ['debug', 20, 20],
    ] as const) {
      const { life, log } = await ready({ lossLevel })
      life.lost('it crashed')
      await life.attempt
      expect(log.records).toMatchObject([
        { level: losses, plugin: 'tried', msg: 'plugin failed: it crashed; restarting it' },
        { level: ends, plugin: 'tried', msg: 'plugin ready again', restarts: 1 },
      ])
    }
  })
})

describe('the breaker', () => {
  test('opens after several failures in a row, and says until when', async () => {
    const { life, states, clock } = await broken()
    expect(states).toEqual([
      'failing',
      ...Array.from({ length: 4 }, () => ['restarting', 'failing'] as const).flat(),
      'broken',
    ])
    expect(life.report()).toMatchObject({ state: 'broken', restarts: 4, nextTryInMs: 800 })
    expect(life.absence).toBe(
      'the plugin is not called until 2026-01-01T00:00:01.500Z: ' +
        'it failed 5 times in a row, at last: no luck',
    )
    expect(clock.waiting).toBe(1)
  })

  test('has it tried again behind the wait, and a failure opens it for longer', async () => {
    const { life, clock } = await broken()
    clock.turn(800)
    expect(life.state).toBe('restarting')
    await life.attempt
    expect(life.report()).toMatchObject({ state: 'broken', nextTryInMs: 1600 })
    for (let tries = 0; tries < 10; tries++) {
      clock.turn(life.report().nextTryInMs ?? 0)
      await life.attempt
    }
    expect(life.report()).toMatchObject({ state: 'broken', nextTryInMs: BACKOFF_MAX_MS })
  })

  test('is closed by success', async () => {
    const { life, clock, opening } = await broken()
    opening(success)
    clock.turn(800)
    await life.attempt
    expect(life.state).toBe('ready')
    life.succeeded()
    life.lost('it trapped')
    await life.attempt
    expect(life.state).toBe('ready')
  })

  test('stays half open until then: one more failure opens it', async () => {
    const { life, clock, opening } = await broken()
    opening(success)
    clock.turn(800)
    await life.attempt
    life.lost('it trapped')
    expect(life.state).toBe('broken')
  })

  test('is opened from outside, for a reason and a time', async () => {
    const { life, clock, happened } = await ready()
    life.trip('it took more of the loop than its share', 2000)
    expect(life.state).toBe('broken')
    expect(happened).toEqual(['rest', 'discard'])
    expect(life.absence).toBe(
      'the plugin is not called until 2026-01-01T00:00:02.000Z: ' +
        'it took more of the loop than its share',
    )
    life.trip('a shorter time', 1)
    expect(life.report().nextTryInMs).toBe(2000)
    clock.turn(2000)
    await life.attempt
    expect(life.state).toBe('ready')
    expect(life.failuresInARow).toBe(0)
    expect(clock.waiting).toBe(0)
  })

  test('opened during a restart breaks it off', async () => {
    const { life, clock, opening, happened } = await ready()
    const first = held()
    opening(first.outcome)
    life.lost('it trapped')
    const { attempt } = life
    life.trip('too much', 50)
    first.resolve()
    await attempt
    expect(life.state).toBe('broken')
    expect(happened).not.toContain('use')
    opening(success)
    clock.turn(50)
    await life.attempt
    expect(life.state).toBe('ready')
  })

  test('has no meaning for what was not started', () => {
    const { life, clock } = scene()
    life.trip('too much', 50)
    expect(life.state).toBe('stopped')
    expect(clock.waiting).toBe(0)
  })
})

describe('a stop', () => {
  const before: Readonly<Record<PluginState, () => Promise<ReturnType<typeof scene>>>> = {
    stopped: () => Promise.resolve(scene()),
    starting: () => {
      const made = scene()
      made.opening((signal) => aborted(signal))
      made.life.start().catch(() => undefined)
      return Promise.resolve(made)
    },
    ready: () => ready(),
    failing: async () => {
      const made = await ready()
      made.life.lost('it trapped')
      await made.life.attempt
      made.life.lost('it trapped')
      return made
    },
    restarting: async () => {
      const made = await ready()
      made.opening((signal) => aborted(signal))
      made.life.lost('it trapped')
      return made
    },
    broken: () => broken(),
  }

  for (const state of PLUGIN_STATES) {
    test(`is idempotent and leaves nothing behind: ${state}`, async () => {
      const { life, clock, happened } = await before[state]()
      expect(life.state).toBe(state)
      await Promise.all([life.stop(), life.stop()])
      await life.stop()
      expect(life.report()).toMatchObject({ state: 'stopped', nextTryInMs: null, readySince: null })
      expect(life.absence).toBe('the plugin was stopped')
      expect(happened.at(-1)).toBe('close')
      expect(clock.waiting).toBe(0)
      expect(life.attempt).toBeNull()
      const { length } = happened
      clock.turn(BACKOFF_MAX_MS)
      life.lost('it trapped')
      life.trip('too much', 50)
      expect(life.state).toBe('stopped')
      expect(happened).toHaveLength(length)
    })
  }

  test('during a start breaks it off, and a later start works', async () => {
    const { life, opening } = scene()
    opening((signal) => aborted(signal))
    const starting = life.start()
    const stopped = life.stop()
    await expect(starting).rejects.toThrow('plugin tried: its start was broken off by a stop')
    await stopped
    opening(success)
    await life.start()
    expect(life.state).toBe('ready')
  })

  test('while a start waits for another stop holds', async () => {
    const { life } = await ready()
    const first = life.stop()
    const starting = life.start()
    const second = life.stop()
    await expect(starting).rejects.toThrow('broken off by a stop')
    await Promise.all([first, second])
    expect(life.state).toBe('stopped')
  })
})

/** Opens never, until it is not wanted any more. */
function aborted(signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<void>()
  const refuse = (): void => reject(signal.reason)
  if (signal.aborted) refuse()
  signal.addEventListener('abort', refuse)
  return promise
}
