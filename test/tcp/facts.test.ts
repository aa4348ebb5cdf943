import { expect, test } from 'bun:test'
import type { SessionFacts } from '../../src/hooks/step.ts'
import { CONTINUE } from '../../src/hooks/verdict.ts'
import { query } from '../kit/frontend.ts'
import { setScene } from './scene.ts'

test('a step knows who the session is of, by one object over a reload', async () => {
  const known = new Set<SessionFacts>()
  const step = () => ({
    decide: (_bytes: Uint8Array, session: SessionFacts) => {
      known.add(session)
      return CONTINUE
    },
  })
  await using scene = await setScene({ fromClient: [step()] })
  const { wire, server } = await scene.logIn()
  const [facts] = known
  expect(facts).toMatchObject({
    group: 'default',
    block: 'writes',
    protocol: 'postgres',
    user: 'ann',
    database: 'shop',
    tls: null,
  })
  expect(facts!.id).toMatch(/^[0-9a-f]{8}-1$/)
  expect(facts!.client.local).toEndWith(`:${scene.service.port}`)
  expect(facts!.server.remote).toEndWith(`:${server.socket.localPort}`)
  const before = { id: facts!.id, client: facts!.client, server: facts!.server }
  scene.service.renew({ fromClient: [step()] })
  wire.send(query('select'))
  await server.read(query('select').length)
  expect([...known]).toEqual([facts!])
  expect(facts).toMatchObject(before)
})

test('before it is served there are no addresses of a server', async () => {
  let asked: SessionFacts | null = null
  await using scene = await setScene({
    opening: (session) => {
      asked = session
      return { kind: 'deny', code: '28000', message: 'no' }
    },
  })
  await scene.connect()
  while (asked === null) await new Promise(setImmediate)
  expect(asked as SessionFacts).toMatchObject({ server: { local: '', remote: '' }, user: '' })
})
