import { afterEach, expect, test } from 'bun:test'
import { gunzipSync } from 'node:zlib'
import { pino } from 'pino'
import { type AdminHttp, type AdminHttpOptions, startAdminHttp } from '../../src/admin/http.ts'
import { GatewayError } from '../../src/base/errors.ts'
import { makeAuthority } from '../kit/certificates.ts'

const PAGE = `${'# a long page\n'.repeat(200)}postern_up 1\n`
const running: AdminHttp[] = []

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

async function start(options: Partial<AdminHttpOptions> = {}) {
  const server = await startAdminHttp({
    address: '127.0.0.1:0',
    path: '/metrics',
    page: async () => PAGE,
    healthy: () => [],
    ready: () => [],
    log: pino({ level: 'silent' }),
    ...options,
  })
  running.push(server)
  const ask = (path: string, init?: RequestInit) => fetch(`http://${server.address}${path}`, init)
  return { server, ask }
}

test('the metrics are Prometheus text at their path', async () => {
  const { ask } = await start({ path: '/custom' })
  const answer = await ask('/custom')
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(await answer.text()).toBe(PAGE)
  expect((await ask('/metrics')).status).toBe(404)
})

test('the page is compressed for those who accept it, and only for them', async () => {
  const { ask } = await start()
  const raw = async (accepted: string) => {
    const init = { headers: { 'accept-encoding': accepted }, decompress: false }
    const answer = await ask('/metrics', init)
    return { coding: answer.headers.get('content-encoding'), body: await answer.bytes() }
  }
  const packed = await raw('deflate, GZIP;q=0.5')
  expect(packed.coding).toBe('gzip')
  expect(gunzipSync(packed.body).toString()).toBe(PAGE)
  expect(packed.body.length).toBeLessThan(PAGE.length / 4)
  for (const accepted of ['identity', 'gzip;q=0', 'br']) {
    const plain = await raw(accepted)
    expect(plain.coding).toBeNull()
    expect(Buffer.from(plain.body).toString()).toBe(PAGE)
  }
})

test('health and readiness say why not, and change as the gateway does', async () => {
  let reasons: readonly string[] = []
  const { ask } = await start({ ready: () => reasons })
  const ready = await ask('/readyz')
  expect([ready.status, await ready.json()]).toEqual([200, { status: 'SERVING' }])
  reasons = ['the gateway is draining']
  const draining = await ask('/readyz')
  expect(draining.status).toBe(503)
  expect(await draining.json()).toEqual({ status: 'NOT_SERVING', reasons })
  expect((await ask('/healthz')).status).toBe(200)
})

test('the front page links to what there is, with the path as it is', async () => {
  const { ask } = await start({ path: '/<b>&metrics' })
  const answer = await ask('/')
  expect(answer.headers.get('content-type')).toContain('text/html')
  const page = await answer.text()
  expect(page).toContain('href="/healthz"')
  expect(page).toContain('&#60;b&#62;&#38;metrics')
  expect(page).not.toContain('<b>')
})

test('other paths and other methods are refused', async () => {
  const { ask } = await start()
  expect((await ask('/etc/passwd')).status).toBe(404)
  const posted = await ask('/metrics', { method: 'POST', body: 'x' })
  expect(posted.status).toBe(405)
  expect(posted.headers.get('allow')).toBe('GET, HEAD')
  expect((await ask('/healthz', { method: 'DELETE' })).status).toBe(405)
})

test('HEAD answers as GET does, without the page', async () => {
  const { ask } = await start()
  const answer = await ask('/metrics', { method: 'HEAD' })
  expect(answer.status).toBe(200)
  expect(await answer.text()).toBe('')
})

test('a page that cannot be made is an error without details, and the server lives', async () => {
  const lines: string[] = []
  const { ask } = await start({
    page: async () => {
      throw new Error('the number of the beast')
    },
    log: pino({}, { write: (line: string) => lines.push(line) }),
  })
  const answer = await ask('/metrics')
  expect(answer.status).toBe(500)
  expect(await answer.text()).not.toContain('beast')
  expect(lines.join('')).toContain('beast')
  expect((await ask('/healthz')).status).toBe(200)
})

test('a port in use is an error that names the key, the address and the cure', async () => {
  const { server } = await start()
  const again = startAdminHttp({
    address: server.address,
    path: '/metrics',
    page: async () => '',
    healthy: () => [],
    ready: () => [],
    log: pino({ level: 'silent' }),
  })
  const error: unknown = await again.catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({
    code: 'LISTEN_FAILED',
    message:
      `metrics.default.address: ${server.address} is in use; ` +
      'stop the other program or choose another port',
  })
})

test.each([
  ['192.0.2.1:0', 'LISTEN_FAILED', /192\.0\.2\.1:0 is no address of this machine/],
  ['nonsense', 'CONFIG_INVALID', /metrics\.default\.address: "nonsense" is no address; write HOST/],
])('the address %s is refused', async (address, code, message) => {
  const error: unknown = await start({ address }).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
})

test.each(['', 'metrics', '/', '/healthz', '/readyz', '/a?b', '/a b', '/#'])(
  'the path "%s" for metrics is refused',
  async (path) => {
    const error: unknown = await start({ path }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/metrics\.default\.path: /),
    })
  },
)

test('an address without a host listens everywhere', async () => {
  const { server } = await start({ address: ':0' })
  const port = server.address.slice(server.address.lastIndexOf(':') + 1)
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200)
})

test('stopping is idempotent, and breaks off whoever still waits', async () => {
  const asked = Promise.withResolvers<void>()
  const { server, ask } = await start({
    page: () => {
      asked.resolve()
      return new Promise<string>(() => {})
    },
  })
  const waiting = ask('/metrics').then(
    () => 'answered',
    () => 'broken off',
  )
  await asked.promise
  await server.stop()
  await server.stop()
  expect(await waiting).toBe('broken off')
  await expect(ask('/healthz')).rejects.toThrow()
})

test('the pages are served over HTTPS where there is a certificate for them', async () => {
  const authority = await makeAuthority()
  const issued = await authority.issue({ subject: 'CN=admin', addresses: ['127.0.0.1'] })
  const tls = { ...issued, notAfter: new Date(), warnings: [] }
  const { server } = await start({ tls })
  expect(server.url).toBe(`https://${server.address}`)
  const answer = await fetch(`${server.url}/metrics`, { tls: { ca: authority.certificate } })
  expect(await answer.text()).toBe(PAGE)
  await expect(fetch(`${server.url}/metrics`)).rejects.toThrow(/certificate/)
  const plain = fetch(`http://${server.address}/metrics`).then((refused) => refused.status)
  expect(await plain.catch(() => 400)).toBe(400)
})
