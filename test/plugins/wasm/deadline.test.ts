/** When a guest's time is over, and when the machine is to blame instead. */
import { describe, expect, test } from 'bun:test'
import { noLimitHits } from '../../../src/plugins/limits.ts'
import { Deadline, noConsumption, THREAD_CLOCK } from '../../../src/plugins/wasm/deadline.ts'
import { FUEL_GRANT } from '../../../src/plugins/wasm/meter.ts'
import { Trap } from '../../../src/plugins/wasm/trap.ts'

/** A deadline on clocks that are turned by hand: `work` both, `sleep` the first alone. */
function make(options: { processor?: boolean } = {}) {
  let nowMs = 1000
  let processorMs = 5
  let processorReads = 0
  const consumption = noConsumption()
  const hits = noLimitHits()
  const deadline = new Deadline(consumption, hits, {
    nowMs: () => nowMs,
    processorMs: () => {
      processorReads++
      return options.processor === false ? Number.NaN : processorMs
    },
  })
  const sleep = (ms: number): void => {
    nowMs += ms
  }
  const work = (ms: number): void => {
    nowMs += ms
    processorMs += ms
  }
  /** Works and asks for fuel every `stepMs` until it is thrown out; milliseconds until then. */
  const loop = (stepMs: number, share = 1): number => {
    const startedAt = nowMs
    for (let step = 0; step < 100_000; step++) {
      nowMs += stepMs
      processorMs += stepMs * share
      try {
        deadline.refuel()
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Trap)
        return nowMs - startedAt
      }
    }
    throw new Error('it never ended')
  }
  const reads = () => processorReads
  return { deadline, consumption, hits, sleep, work, loop, reads }
}

describe('a deadline', () => {
  test('ends a guest that goes on asking for fuel', () => {
    const { deadline, consumption, hits, loop } = make()
    deadline.arm('callDeadline', 50)
    expect(loop(0.5)).toBe(50)
    expect(consumption).toMatchObject({ deadlineHits: 1, deadlineExtensions: 0 })
    expect(hits.of('callDeadline')).toBe(1)
    expect(hits.of('startDeadline')).toBe(0)
  })

  test('ends a guest that only calls the host', () => {
    const { deadline, work } = make()
    deadline.arm('startDeadline', 50)
    for (let call = 0; call < 49; call++) {
      work(1)
      deadline.check()
    }
    work(1)
    expect(() => deadline.check()).toThrow('it ran for 50.0 ms, at most 50')
  })

  test('does nothing to a guest that returned, nor to its next call', () => {
    const { deadline, work } = make()
    deadline.arm('callDeadline', 50)
    work(49)
    deadline.check()
    deadline.disarm()
    work(1000)
    deadline.check()
    deadline.arm('callDeadline', 50)
    work(49)
    deadline.check()
    expect(deadline.refuel()).toBeGreaterThan(0)
  })

  test('reads the processor’s time once a call that asks for fuel, and not in others', () => {
    const { deadline, work, reads } = make()
    for (let call = 0; call < 10; call++) {
      deadline.arm('callDeadline', 50)
      deadline.check()
      work(5)
      deadline.check()
      deadline.disarm()
    }
    expect(reads()).toBe(0)
    deadline.arm('callDeadline', 50)
    for (let grant = 0; grant < 20; grant++) {
      work(1)
      deadline.refuel()
    }
    expect(reads()).toBe(1)
  })

  test('that begins with the first use leaves out what the loop did before', () => {
    const { deadline, sleep, loop } = make()
    deadline.armAtFirstUse('startDeadline', 500)
    sleep(10_000)
    deadline.refuel()
    expect(loop(0.5)).toBe(500)
  })

  test('tells how long the guest ran, without what came behind it', () => {
    const { deadline, work } = make()
    deadline.armAtFirstUse('startDeadline', 500)
    work(100)
    expect(deadline.spentMs).toBe(0)
    deadline.refuel()
    work(7)
    deadline.refuel()
    work(100)
    expect(deadline.spentMs).toBe(7)
  })
})

describe('a machine without time for us', () => {
  test('gives the deadline once more, and only once', () => {
    const { deadline, consumption, hits, loop } = make()
    deadline.arm('callDeadline', 50)
    expect(loop(1, 0.4)).toBe(100)
    expect(consumption).toMatchObject({ deadlineHits: 1, deadlineExtensions: 1 })
    expect(hits.of('callDeadline')).toBe(1)
  })

  test('that gave half of it gives no more', () => {
    const { deadline, consumption, loop } = make()
    deadline.arm('callDeadline', 50)
    expect(loop(1, 0.5)).toBe(50)
    expect(consumption.deadlineExtensions).toBe(0)
  })

  test('lets a guest end that slept through its deadline', () => {
    const { deadline, consumption, sleep, work } = make()
    deadline.arm('callDeadline', 50)
    sleep(400)
    expect(deadline.refuel()).toBeGreaterThan(0)
    work(49)
    deadline.check()
    deadline.disarm()
    expect(consumption).toMatchObject({ deadlineHits: 0, deadlineExtensions: 1 })
  })

  test('is no excuse where the guest itself was slow before it was looked at', () => {
    const { deadline, consumption, work } = make()
    deadline.arm('callDeadline', 50)
    work(20)
    deadline.check()
    work(31)
    expect(() => deadline.check()).toThrow('at most 50')
    expect(consumption.deadlineExtensions).toBe(0)
  })

  test('is not believed where the system does not tell the thread’s time', () => {
    const { deadline, loop } = make({ processor: false })
    deadline.arm('callDeadline', 50)
    expect(loop(1, 0)).toBe(50)
  })

  test('is told by the clock of the thread, which this system has', () => {
    const before = THREAD_CLOCK.processorMs()
    const until = performance.now() + 30
    while (performance.now() < until);
    expect(THREAD_CLOCK.processorMs()).toBeGreaterThan(before)
    expect(THREAD_CLOCK.nowMs()).toBeGreaterThanOrEqual(until)
  })
})

describe('fuel', () => {
  test('is granted in full to a guest that is quick', () => {
    const { deadline, work } = make()
    deadline.arm('callDeadline', 50)
    for (let grant = 0; grant < 10; grant++) {
      expect(deadline.refuel()).toBe(FUEL_GRANT)
      work(0.1)
    }
  })

  test('is granted in smaller parts to a slow guest, and at the end of its time', () => {
    const { deadline, work } = make()
    deadline.arm('callDeadline', 50)
    expect(deadline.refuel()).toBe(FUEL_GRANT)
    work(5)
    const slow = deadline.refuel()
    expect(slow).toBe(FUEL_GRANT / 10)
    work(44.9)
    expect(deadline.refuel()).toBeLessThan(slow)
  })

  test('is counted when it is used up, over all calls', () => {
    const { deadline, consumption } = make()
    for (let call = 0; call < 3; call++) {
      deadline.arm('callDeadline', 50)
      deadline.refuel()
      deadline.disarm()
    }
    expect(consumption.fuel).toBe(2 * FUEL_GRANT)
  })
})
