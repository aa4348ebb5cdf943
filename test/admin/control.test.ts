import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ControlAnswers, startControl } from '../../src/admin/control.ts'
import { openRunFolder, type RunFolder } from '../../src/admin/run-folder.ts'
import { PLUGINS, RELOADED, STATUS, UPGRADED } from './reports.ts'

let home = ''
let folder: RunFolder
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'control-'))
  folder = openRunFolder({ XDG_RUNTIME_DIR: home })
})
afterEach(() => {
  folder.close()
  rmSync(home, { recursive: true, force: true })
})

const answers: ControlAnswers = {
  status: () => STATUS,
  plugins: () => PLUGINS,
  reload: async () => RELOADED,
  upgrade: async () => UPGRADED,
}

function ask(path: string, init: RequestInit = {}) {
  return fetch(`http://postern${path}`, { unix: folder.controlSocket, keepalive: false, ...init })
}

test('status and plugins are answered as JSON, on a socket only for its user', async () => {
  const control = await startControl(folder, answers)
  expect(statSync(control.socket).mode & 0o777).toBe(0o600)
  expect(await (await ask('/status')).json()).toEqual(STATUS)
  expect(await (await ask('/plugins')).json()).toEqual(PLUGINS)
  await control.stop()
})

test('what is not known, and any other method, is refused', async () => {
  const control = await startControl(folder, answers)
  const unknown = await ask('/secrets')
  expect([unknown.status, await unknown.json()]).toEqual([
    404,
    { error: 'ask for /status, /plugins, /reload, /upgrade' },
  ])
  expect((await ask('/status', { method: 'POST', body: '{}' })).status).toBe(405)
  const asked = await ask('/reload')
  expect([asked.status, asked.headers.get('allow')]).toEqual([405, 'POST'])
  expect(await (await ask('/reload', { method: 'POST' })).json()).toEqual(RELOADED)
  await control.stop()
})

test('an answer that fails says why, and the socket stays open', async () => {
  const control = await startControl(folder, {
    ...answers,
    status: () => {
      throw new Error('not now')
    },
  })
  const failed = await ask('/status')
  expect([failed.status, await failed.json()]).toEqual([500, { error: 'not now' }])
  expect((await ask('/plugins')).status).toBe(200)
  await control.stop()
})

test('stopping is idempotent and leaves no socket', async () => {
  const control = await startControl(folder, answers)
  await control.stop()
  await control.stop()
  await expect(ask('/status')).rejects.toThrow()
})

test('a socket that cannot be made is an error that names it', async () => {
  const nowhere = { controlSocket: join(home, 'absent', 'control.sock') }
  const error: unknown = await startControl(nowhere, answers).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({
    code: 'RUN_FOLDER',
    message: expect.stringContaining(nowhere.controlSocket),
  })
})
