/** The soak itself, a few seconds long: all plugins work under its load, and it says what it saw. */
import { expect, test } from 'bun:test'
import { join, resolve } from 'node:path'
import { run } from '../kit/command.ts'
import { PLUGIN_NAMES } from '../soak/options.ts'

const ROOT = resolve(import.meta.dir, '../..')
const TIMEOUT_MS = 90_000

test(
  'a short soak finds nothing wrong in any plugin, and every plugin was asked',
  async () => {
    const argv = [process.execPath, join(ROOT, 'scripts/soak.ts'), '--minutes', '0.1', '--json']
    const { status, stdout, stderr } = await run(argv, { cwd: ROOT })
    expect(stderr).toBe('')
    const records = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(records.map(({ plugin, faults }) => [plugin, faults])).toEqual(
      PLUGIN_NAMES.map((plugin) => [plugin, []]),
    )
    for (const { statements, connections } of records) {
      expect(statements).toBeGreaterThan(50)
      expect(connections).toBeGreaterThan(5)
    }
    expect(status).toBe(0)
  },
  TIMEOUT_MS,
)
