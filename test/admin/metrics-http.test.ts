import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { MetricsHttp } from '../../src/admin/metrics-http.ts'
import { loadConfig } from '../../src/config/load.ts'
import { freePort } from '../kit/free-port.ts'

function settings(changes: Record<string, unknown>) {
  const text = JSON.stringify({ metrics: { default: changes } })
  const readFile = (path: string) =>
    path === 'postern.yaml' ? ({ kind: 'text', text } as const) : ({ kind: 'absent' } as const)
  return loadConfig({ env: {}, readFile }).config.metrics.default
}

function served() {
  const http = new MetricsHttp({
    page: async () => 'postern_up 1\n',
    ready: () => [],
    log: pino({ level: 'silent' }),
  })
  const move = async (changes: Record<string, unknown>): Promise<void> => {
    const prepared = await http.prepare(settings(changes))
    await prepared.commit()
  }
  return { http, move }
}

const statusAt = (address: string, path: string): Promise<number | string> =>
  fetch(`http://${address}${path}`, { keepalive: false }).then(
    ({ status }) => status,
    () => 'nobody',
  )

test('the page moves to another address, listening there before it is gone here', async () => {
  const { http, move } = served()
  const [first, second] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  await move({ address: first })
  const prepared = await http.prepare(settings({ address: second }))
  expect([await statusAt(first, '/metrics'), await statusAt(second, '/metrics')]).toEqual([
    200, 200,
  ])
  await prepared.commit()
  expect(http.url).toBe(`http://${second}`)
  expect([await statusAt(first, '/metrics'), await statusAt(second, '/metrics')]).toEqual([
    'nobody',
    200,
  ])
  await move({ address: second, path: '/other' })
  expect([await statusAt(second, '/metrics'), await statusAt(second, '/other')]).toEqual([404, 200])
  await move({ enabled: false, address: second })
  expect([http.url, await statusAt(second, '/other')]).toEqual(['', 'nobody'])
  await http.stop()
})

test('what cannot be served changes nothing, nor what is abandoned', async () => {
  const { http, move } = served()
  const address = `127.0.0.1:${await freePort()}`
  await move({ address })
  const taken = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  await expect(http.prepare(settings({ address: `127.0.0.1:${taken.port}` }))).rejects.toThrow(
    'in use',
  )
  await expect(http.prepare(settings({ address, path: '/healthz' }))).rejects.toThrow('is taken by')
  const other = `127.0.0.1:${await freePort()}`
  const prepared = await http.prepare(settings({ address: other }))
  await prepared.abandon()
  expect([await statusAt(other, '/metrics'), await statusAt(address, '/metrics')]).toEqual([
    'nobody',
    200,
  ])
  taken.stop(true)
  await http.stop()
})
