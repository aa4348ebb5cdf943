import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startControl } from '../../src/admin/control.ts'
import { openRunFolder } from '../../src/admin/run-folder.ts'
import { ageText, bytesText, status, statusText } from '../../src/cli/status.ts'
import { PLUGINS, RELOADED, STATUS, UPGRADED } from '../admin/reports.ts'
import { record, thrownBy } from './recorder.ts'

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'status-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const env = () => ({ XDG_RUNTIME_DIR: home, TMPDIR: home })

async function startGateway() {
  const folder = openRunFolder(env())
  const control = await startControl(folder, {
    status: () => STATUS,
    plugins: () => PLUGINS,
    reload: async () => RELOADED,
    upgrade: async () => UPGRADED,
  })
  return {
    socket: folder.controlSocket,
    stop: async () => {
      await control.stop()
      folder.close()
    },
  }
}

test('the running gateway is found and shown', async () => {
  const gateway = await startGateway()
  const io = record(env())
  expect(await status([], io)).toBe(0)
  expect(io.written.join('\n')).toBe(statusText(STATUS, false))
  await gateway.stop()
})

test('scripts get the whole report as JSON, from the socket they name', async () => {
  const gateway = await startGateway()
  const io = record({})
  await status(['--json', '--socket', gateway.socket], io)
  expect(JSON.parse(io.written.join(''))).toEqual(STATUS)
  await gateway.stop()
})

test('a gateway without roles and pools shows none, and so does one that does not tell', () => {
  const upstreams = STATUS.upstreams.map(({ role: _role, ...upstream }) => upstream)
  const { pools: _pools, ...older } = { ...STATUS, upstreams }
  for (const report of [older, { ...older, pools: [] }]) {
    const text = statusText(report, false)
    expect(text).toMatch(/^default +writes +db:5432 +yes$/m)
    expect(text).not.toContain('ROLE')
    expect(text).not.toContain('POOL')
  }
})

test('a database that is the primary too, by an older history, is told apart', () => {
  const role = { wanted: 'primary', known: 'primary', fits: false }
  const upstreams = STATUS.upstreams.map((upstream) => ({ ...upstream, role }))
  const text = statusText({ ...STATUS, upstreams }, false)
  expect(text).toMatch(/ db:5432 +primary too, gets no sessions +yes$/m)
})

test('a pool without a limit says so', () => {
  const pools = STATUS.pools!.map((pool) => ({ ...pool, mode: 'none', sizeMax: null }))
  expect(statusText({ ...STATUS, pools }, false)).toMatch(/ none +no limit +4 +7 +1 +2$/m)
})

test('the report for people has listeners, upstreams, sessions, bytes and plugins', () => {
  const text = statusText(STATUS, false)
  expect(text).toStartWith('postern 1.2.3, process 4711, up 1d 2h, generation 3: ready\n')
  expect(text).toMatch(/^default +127\.0\.0\.1:15432 +postgres +3 +10000$/m)
  expect(text).toMatch(/^default +writes +db:5432 +primary +yes$/m)
  expect(text).toMatch(
    /^default +reads +replica:5432 +unknown, not standby +no +connection refused$/m,
  )
  expect(text).toMatch(/^default +spare +spare:5432 +any +not tried$/m)
  expect(text).toMatch(/^default +writes +transaction +20 +4 +7 +1 +2$/m)
  expect(text).toContain('sessions    3 open, 12345 so far, 1 refused\n')
  expect(text).toContain('to clients  5.00 GB received, 5.00 MB sent on\n')
  expect(text).toContain('plugins     1 of 2 ready\n')
  expect(text).toContain(
    'reloads     2 done, 1 refused; 1 session on generation 2; the last: servers.',
  )
  expect(text).toEndWith('metrics     http://127.0.0.1:9090')
  expect(text).not.toContain('\u001b')
  expect(Bun.stripANSI(statusText(STATUS, true))).toBe(text)
})

test('upgrades are told of, with the clients of processes before', () => {
  const upgrades = {
    done: 1,
    refused: 1,
    lastError: 'it ended\nso',
    isUnderWay: true,
    earlier: { processes: 1, sessions: 2 },
  }
  const textOf = (changed: Partial<typeof upgrades>): string =>
    statusText({ ...STATUS, upgrades: { ...upgrades, ...changed } }, false)
  expect(textOf({})).toContain(
    'upgrades    1 done, 1 refused; one is under way; 1 earlier process with 2 sessions; ' +
      'the last: it ended\n',
  )
  const none = { done: 0, refused: 0, lastError: '', isUnderWay: false }
  expect(textOf({ ...none, earlier: { processes: 0, sessions: 0 } })).toContain(
    'upgrades    none\n',
  )
})

test('a gateway without plugins and metrics says so', () => {
  const text = statusText({ ...STATUS, plugins: { total: 0, ready: 0 }, metricsAddress: '' }, false)
  expect(text).toContain('plugins     none\n')
  expect(text).toContain('metrics     not served')
})

test('a socket that is not there is an error', async () => {
  const asked = status(['--socket', join(home, 'no.sock')], record(env()))
  expect(await thrownBy(asked)).toMatchObject({ code: 'CONTROL_UNREACHABLE' })
})

test('an answer of an unknown shape is an error that says so', async () => {
  const socket = join(home, 's')
  const server = Bun.serve({ unix: socket, fetch: () => Response.json({ version: 7 }) })
  expect(await thrownBy(status(['--socket', socket], record()))).toMatchObject({
    code: 'CONTROL_UNREACHABLE',
    message: expect.stringContaining('status.sessions is no object'),
  })
  await server.stop(true)
})

test('an unknown flag is refused', async () => {
  expect(await thrownBy(status(['--sockt', 'x'], record()))).toMatchObject({ code: 'USAGE' })
})

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.00 kB'],
  [9_996, '10.0 kB'],
  [123_456, '123 kB'],
  [999_600, '1.00 MB'],
  [5e15, '5.00 PB'],
  [5e18, '5000 PB'],
])('%d bytes are %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text)
})

test.each([
  [0, '0s'],
  [59.9, '59s'],
  [60, '1m 0s'],
  [3661, '1h 1m'],
  [90_000, '1d 1h'],
])('%d seconds are %s', (seconds, text) => {
  expect(ageText(seconds)).toBe(text)
})
