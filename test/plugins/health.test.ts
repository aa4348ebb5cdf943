import { expect, test } from 'bun:test'
import { PING_MS_MAX, watchHealth } from '../../src/plugins/health.ts'
import { KeptLog } from '../fixtures/grpc/surroundings.ts'
import { TurnedClock } from './turned-clock.ts'

/** A plugin whose answer to a ping the test gives. */
function patient(name: string) {
  let answer = Promise.withResolvers<void>()
  const asked: number[] = []
  return {
    asked,
    plugin: {
      name,
      check: (timeoutMs: number): Promise<void> => {
        asked.push(timeoutMs)
        answer = Promise.withResolvers()
        return answer.promise
      },
    },
    answer: () => answer.resolve(),
    fail: () => answer.reject(new Error('no idea how')),
  }
}

function watch(periodMs: number) {
  const clock = new TurnedClock()
  const log = new KeptLog()
  const [slow, quick] = [patient('slow'), patient('quick')]
  const unaskable = { name: 'unaskable' }
  const plugins = () => [slow.plugin, unaskable, quick.plugin]
  const end = watchHealth({ plugins, periodMs, log: log.logger, clock })
  return { clock, log, slow, quick, end }
}

test('every plugin that can be asked is, each period, in at most a second', () => {
  for (const [periodMs, pingMs] of [
    [5000, PING_MS_MAX],
    [200, 200],
  ] as const) {
    const { clock, slow, quick, end } = watch(periodMs)
    clock.turn(periodMs)
    expect(slow.asked).toEqual([pingMs])
    expect(quick.asked).toEqual([pingMs])
    end()
  }
})

test('one that is slow to answer is not asked again meanwhile, and holds up no other', async () => {
  const { clock, slow, quick, end } = watch(100)
  clock.turn(100)
  quick.answer()
  await Bun.sleep(0)
  clock.turn(100)
  expect([slow.asked.length, quick.asked.length]).toEqual([1, 2])
  slow.answer()
  await Bun.sleep(0)
  clock.turn(100)
  expect(slow.asked).toHaveLength(2)
  end()
})

test('a ping that breaks is logged and the next one is made', async () => {
  const { clock, log, slow, end } = watch(100)
  clock.turn(100)
  slow.fail()
  await log.find(({ msg }) => msg === 'could not be pinged: no idea how')
  await Bun.sleep(0)
  clock.turn(100)
  expect(slow.asked).toHaveLength(2)
  end()
})

test('the end leaves no timer', () => {
  const { clock, quick, end } = watch(100)
  end()
  expect(clock.waiting).toBe(0)
  clock.turn(1000)
  expect(quick.asked).toEqual([])
})
