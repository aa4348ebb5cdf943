import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startControl } from '../../src/admin/control.ts'
import { openRunFolder } from '../../src/admin/run-folder.ts'
import { pluginChecksum, pluginList } from '../../src/cli/plugin.ts'
import { PLUGINS, RELOADED, STATUS, UPGRADED } from '../admin/reports.ts'
import { record, thrownBy } from './recorder.ts'

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'plugin-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const env = () => ({ XDG_RUNTIME_DIR: home, TMPDIR: home })

async function startGateway(plugins = PLUGINS) {
  const folder = openRunFolder(env())
  const control = await startControl(folder, {
    status: () => STATUS,
    plugins: () => plugins,
    reload: async () => RELOADED,
    upgrade: async () => UPGRADED,
  })
  return {
    stop: async () => {
      await control.stop()
      folder.close()
    },
  }
}

test('the plugins of the running gateway are listed, with what they did', async () => {
  const gateway = await startGateway()
  const io = record(env())
  expect(await pluginList([], io)).toBe(0)
  const lines = io.written.join('\n').split('\n')
  expect(lines[0]).toMatch(
    /^PRIORITY +NAME +VERSION +RUNTIME +STATE +RESTARTS +CALLS +FAILED +µs A CALL +HOOKS$/,
  )
  expect(lines[1]).toMatch(
    /^ +1000 +audit +1\.0\.0 +wasm +ready +0 +1000 +0 +0\.8 +onTrafficFromClient$/,
  )
  expect(lines[2]).toMatch(/^ +1001 +guard +0\.0\.1 +grpc +failing +3 +50 +7 +240 +onTraffic/)
  expect(lines[3]).toBe('')
  expect(lines[4]).toMatch(/^NAME +NEXT TRY +LAST ERROR$/)
  expect(lines[5]).toMatch(/^guard +in 0\.4 s +the process exited with 1$/)
  expect(io.complaints).toEqual([])
  await gateway.stop()
})

test('scripts learn whether a gateway was asked', async () => {
  const gateway = await startGateway()
  const io = record(env())
  await pluginList(['--json'], io)
  expect(JSON.parse(io.written.join(''))).toEqual({ running: true, plugins: PLUGINS })
  await gateway.stop()
})

test('a gateway without plugins is said to have none', async () => {
  const gateway = await startGateway([])
  const io = record(env())
  await pluginList([], io)
  expect(io.written).toEqual(['no plugins'])
  await gateway.stop()
})

test('files that are named are read, also while a gateway runs', async () => {
  const gateway = await startGateway()
  writeFileSync(join(home, 'g.yaml'), 'clients: {default: {writes: {address: "127.0.0.1:5432"}}}\n')
  writeFileSync(join(home, 'p.yaml'), 'plugins: []\n')
  const io = record(env())
  await pluginList(['-c', join(home, 'g.yaml'), '-p', join(home, 'p.yaml'), '--json'], io)
  expect(JSON.parse(io.written.join(''))).toEqual({ running: false, plugins: [] })
  await gateway.stop()
})

test('a socket and files together are refused, and so is a flag nobody knows', async () => {
  for (const argv of [['--socket', 'a', '-p', 'b'], ['--only-enabled'], ['stray']]) {
    expect(await thrownBy(pluginList(argv, record(env())))).toMatchObject({ code: 'USAGE' })
  }
})

test('a socket that nobody answers is an error, not a reason to read files', async () => {
  const asked = pluginList(['--socket', join(home, 'no.sock')], record(env()))
  expect(await thrownBy(asked)).toMatchObject({ code: 'CONTROL_UNREACHABLE' })
})

test('checksums are printed as sha256sum prints them, and it accepts them', async () => {
  const names = ['plain.wasm', 'with space', 'back\\slash']
  for (const name of names) writeFileSync(join(home, name), name)
  const io = record()
  expect(
    await pluginChecksum(
      names.map((name) => join(home, name)),
      io,
    ),
  ).toBe(0)
  expect(io.written[0]).toMatch(/^[0-9a-f]{64} {2}\/.*plain\.wasm$/)
  const check = Bun.spawn(['sha256sum', '-c', '-'], {
    stdin: new Blob([`${io.written.join('\n')}\n`]),
    stderr: 'pipe',
  })
  expect(await check.exited).toBe(0)
})

test('a file that cannot be read is named, and the others are printed', async () => {
  writeFileSync(join(home, 'there'), 'x')
  const io = record()
  expect(await pluginChecksum([join(home, 'absent'), join(home, 'there')], io)).toBe(1)
  expect(io.written).toHaveLength(1)
  expect(io.complaints.join('')).toMatch(/absent cannot be read \(ENOENT/)
})

test('no file to hash, or a flag, is a misuse', async () => {
  expect(await thrownBy(pluginChecksum([], record()))).toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('postern plugin checksum FILE'),
  })
  expect(await thrownBy(pluginChecksum(['--all', 'x'], record()))).toMatchObject({ code: 'USAGE' })
})
