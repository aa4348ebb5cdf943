/** The soak itself, for seconds: all plugins work under its load, and it says what it saw. */
import { expect, test } from 'bun:test'
import { join, resolve } from 'node:path'
import { run } from '../kit/command.ts'
import { startPostgres } from '../kit/postgres.ts'
import { PLUGIN_NAMES } from '../soak/options.ts'
import { soak } from '../soak/soak.ts'
import type { Subject } from '../soak/subject.ts'
import { SUBJECTS } from '../soak/subjects.ts'

const ROOT = resolve(import.meta.dir, '../..')
const TIMEOUT_MS = 90_000

test.concurrent(
  'a short soak finds nothing wrong in any plugin, and every plugin was asked',
  async () => {
    const argv = [process.execPath, join(ROOT, 'scripts/soak.ts'), '--minutes', '0.08', '--json']
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

/** The same work, before a plugin that is set up to do something else. */
function setUpAs(subject: Subject, config: Readonly<Record<string, unknown>>): Subject {
  return { ...subject, entry: { ...subject.entry, config } }
}

test.concurrent(
  'a soak tells wrong answers of every plugin that gives answers',
  async () => {
    await using server = await startPostgres()
    const plugins = ['firewall', 'cache', 'mask', 'rate-limit'] as const
    const subjects = {
      ...SUBJECTS,
      firewall: setUpAs(SUBJECTS.firewall, {}),
      cache: setUpAs(SUBJECTS.cache, { ttlMs: 60_000 }),
      mask: setUpAs(SUBJECTS.mask, { others: 'null' }),
      'rate-limit': setUpAs(SUBJECTS['rate-limit'], {}),
    }
    const outcomes = await soak({
      minutes: 0.08,
      plugins,
      rate: 200,
      server,
      subjects,
      signal: new AbortController().signal,
      say: () => undefined,
      keep: () => undefined,
    })
    const told = Object.fromEntries(outcomes.map((each) => [each.plugin, each.faults.join('\n')]))
    expect(told['firewall']).toMatch(/instead of "42\d01"/)
    expect(told['cache']).toContain('stale by more than its time')
    expect(told['mask']).toContain('one row: ')
    expect(told['rate-limit']).toMatch(/\d+ statements pass in \d+ ms/)
  },
  TIMEOUT_MS,
)
