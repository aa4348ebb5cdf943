import { expect, test } from 'bun:test'
import { PumpWaker } from '../../src/tcp/pump-waker.ts'

test('each side is woken alone, and nobody before there are pumps', () => {
  const woken: string[] = []
  const waker = new PumpWaker()
  waker.wakeToServer()
  waker.toServer = { wake: () => woken.push('server') }
  waker.toClient = { wake: () => woken.push('client') }
  waker.wakeToServer()
  waker.wakeToClient()
  expect(woken).toEqual(['server', 'client'])
})
