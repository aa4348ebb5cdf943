/** What is said to a client before, during and after its handshake. */
import { describe, expect, test } from 'bun:test'
import { query } from '../kit/frontend.ts'
import { SSL_REQUEST } from '../kit/tls-wire.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { emptied, logInOver, setTlsScene } from './tls-scene.ts'

describe('the last words', () => {
  test('come within TLS where it is there', async () => {
    await using scene = await setTlsScene()
    const { wire, server } = await logInOver(scene)
    server.socket.destroy()
    expect(await wire.expect('ErrorResponse')).toMatchObject({ code: '08006' })
    await wire.closed()
  })

  test('are none in the middle of a handshake', async () => {
    await using scene = await setTlsScene({}, { loginTimeoutMs: 100 })
    const wire = await scene.connect()
    wire.send(SSL_REQUEST)
    expect([...(await wire.readBytes(1))]).toEqual([0x53])
    await emptied(scene)
    await wire.closed()
    expect(scene.service.account.loginTimeouts).toBe(1)
  })
})

test('a service that stops ends sessions with TLS when they are idle, with a reason', async () => {
  await using scene = await setTlsScene()
  const { wire, server } = await logInOver(scene)
  wire.send(query('select 1'))
  await server.read(query('select 1').length)
  const drained = scene.service.listener.drain(10_000)
  await Bun.sleep(50)
  expect(wire.isEnded).toBe(false)
  server.send(says.complete('SELECT 1'), says.ready())
  await wire.readUntil('ReadyForQuery')
  expect(await wire.expect('ErrorResponse')).toMatchObject({ code: '57P01' })
  await wire.closed()
  wire.destroy()
  await drained
})
