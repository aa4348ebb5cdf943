import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startControl } from '../../src/admin/control.ts'
import type { ReloadReport } from '../../src/admin/report.ts'
import { openRunFolder } from '../../src/admin/run-folder.ts'
import { reload } from '../../src/cli/reload.ts'
import { PLUGINS, RELOADED, STATUS, UPGRADED } from '../admin/reports.ts'
import { record, thrownBy } from './recorder.ts'

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'reload-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const env = () => ({ XDG_RUNTIME_DIR: home, TMPDIR: home })

async function startGateway(report: ReloadReport) {
  const folder = openRunFolder(env())
  const answers = {
    status: () => STATUS,
    plugins: () => PLUGINS,
    reload: async () => report,
    upgrade: async () => UPGRADED,
  }
  const control = await startControl(folder, answers)
  return {
    stop: async () => {
      await control.stop()
      folder.close()
    },
  }
}

test('says what has changed', async () => {
  const gateway = await startGateway(RELOADED)
  const io = record(env())
  expect(await reload([], io)).toBe(0)
  expect(io.written).toEqual([
    [
      'reloaded in 12 ms, generation 4: different are',
      '  servers.default.sessionsMax',
      '  plugin "audit" was started',
    ].join('\n'),
  ])
  await gateway.stop()
})

test('says that nothing has, where nothing has', async () => {
  const gateway = await startGateway({ ...RELOADED, changes: [] })
  const io = record(env())
  await reload([], io)
  expect(io.written).toEqual(['reloaded in 12 ms, generation 4: nothing is different'])
  await gateway.stop()
})

test('tells every problem on standard error and fails where it was refused', async () => {
  const problems = ['postern.yaml:1:2: one', 'postern.yaml:3:4: two']
  const refused: ReloadReport = { ...RELOADED, outcome: 'refused', changes: [], problems }
  const gateway = await startGateway(refused)
  const io = record(env())
  expect(await reload([], io)).toBe(1)
  expect(io.written).toEqual([])
  expect(io.complaints).toEqual([
    ['not reloaded, generation 4 goes on:', ...problems.map((problem) => `  ${problem}`)].join(
      '\n',
    ),
  ])
  const scripted = record(env())
  expect(await reload(['--json'], scripted)).toBe(1)
  expect(JSON.parse(scripted.written.join(''))).toEqual(refused)
  await gateway.stop()
})

test('names what is missing where no gateway runs', async () => {
  const error = await thrownBy(reload([], record(env())))
  expect(error).toMatchObject({ code: 'CONTROL_UNREACHABLE' })
})
