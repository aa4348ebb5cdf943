import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startControl } from '../../src/admin/control.ts'
import { askControl } from '../../src/admin/control-client.ts'
import { openRunFolder } from '../../src/admin/run-folder.ts'
import { PLUGINS, RELOADED, STATUS, UPGRADED } from './reports.ts'

const CLIENT = join(import.meta.dir, '../../src/admin/control-client.ts')

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ask-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

function environment() {
  return { XDG_RUNTIME_DIR: home, TMPDIR: home }
}

async function startGateway(version: string) {
  const folder = openRunFolder(environment())
  const status = { ...STATUS, version }
  const control = await startControl(folder, {
    status: () => status,
    plugins: () => PLUGINS,
    reload: async () => RELOADED,
    upgrade: async () => UPGRADED,
  })
  return {
    folder,
    stop: async () => {
      await control.stop()
      folder.close()
    },
  }
}

test('the running gateway is found and asked', async () => {
  const gateway = await startGateway('1')
  expect(await askControl('/plugins', { env: environment() })).toEqual(PLUGINS)
  await gateway.stop()
})

test('a socket that is named is the one that is asked', async () => {
  const one = await startGateway('1')
  const other = await startGateway('2')
  const socket = one.folder.controlSocket
  expect(await askControl('/status', { env: environment(), socket })).toMatchObject({
    version: '1',
  })
  await one.stop()
  await other.stop()
})

test('a gateway that does not answer yet does not hide one that does', async () => {
  const gateway = await startGateway('1')
  const starting = openRunFolder(environment())
  expect(await askControl('/status', { env: environment() })).toMatchObject({ version: '1' })
  starting.close()
  await gateway.stop()
})

async function failing(options: { socket?: string; timeoutMs?: number } = {}): Promise<unknown> {
  return askControl('/status', { env: environment(), ...options }).catch(
    (thrown: unknown) => thrown,
  )
}

test('a named socket that is not there is an error with the cure', async () => {
  const socket = join(home, 'absent.sock')
  expect(await failing({ socket })).toMatchObject({
    code: 'CONTROL_UNREACHABLE',
    message: expect.stringMatching(/absent\.sock does not answer .* is the gateway running/),
  })
})

test('where no gateway runs the error says how to start or name one', () => {
  // As root the machine's own gateways would be found; a user without rights has none.
  const source = `
    if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534) }
    const { askControl } = await import('${CLIENT}')
    await askControl('/status', { env: { TMPDIR: '${home}' } })
      .catch((error) => process.stdout.write(error.code + ' ' + error.message))`
  const child = Bun.spawnSync([process.execPath, '-e', source])
  expect(child.stdout.toString()).toMatch(
    /^CONTROL_UNREACHABLE no gateway of this user runs .* `postern run`, .* --socket PATH$/,
  )
})

test('an answer that is an error, no JSON, or none in time is an error', async () => {
  const socket = join(home, 's')
  const answers = [
    new Response('{"error":"no"}', { status: 500 }),
    new Response('<html>'),
    new Promise<Response>(() => {}),
  ]
  const server = Bun.serve({
    unix: socket,
    fetch: async () => (await answers.shift()) ?? new Response(),
  })
  const options = { socket, timeoutMs: 200 }
  expect(await failing(options)).toMatchObject({ message: expect.stringContaining('answered 500') })
  expect(await failing(options)).toMatchObject({ message: expect.stringContaining('JSON') })
  expect(await failing(options)).toMatchObject({ message: expect.stringContaining('timed out') })
  await server.stop(true)
})
