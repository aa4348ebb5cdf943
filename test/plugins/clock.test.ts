import { expect, test } from 'bun:test'
import { SYSTEM_CLOCK } from '../../src/plugins/clock.ts'

test('the system clock wakes whoever did not take it back', async () => {
  const before = SYSTEM_CLOCK.now()
  const woken: string[] = []
  const cancel = SYSTEM_CLOCK.after(1, () => woken.push('taken back'))
  const { promise, resolve } = Promise.withResolvers<void>()
  SYSTEM_CLOCK.after(5, () => {
    woken.push('woken')
    resolve()
  })
  cancel()
  // Its timers do not keep a process alive; a test has to be.
  const alive = setInterval(() => undefined, 1000)
  await promise
  clearInterval(alive)
  expect(woken).toEqual(['woken'])
  expect(SYSTEM_CLOCK.now()).toBeGreaterThan(before)
  expect(Math.abs(SYSTEM_CLOCK.wall() - Date.now())).toBeLessThan(1000)
})
