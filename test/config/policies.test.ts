import { describe, expect, test } from 'bun:test'
import { loadConfig } from '../../src/config/load.ts'
import { BUILT_IN_POLICIES, policiesOf } from '../../src/config/policies.ts'
import { filesOf } from './golden.ts'

const TERMINATE = 'Signal.terminate == true && Policy.terminate == "stop"'
const LOG = 'Signal.log == true && Policy.log == "enabled"'

const of = (name: string, policy: string, metadata: Readonly<Record<string, unknown>> = {}) =>
  policiesOf([{ name, policy, metadata }], 'passthrough')

describe('a policy', () => {
  test('with the built-in expression rules by its metadata', () => {
    expect(of('terminate', TERMINATE, { terminate: 'stop' })).toEqual(BUILT_IN_POLICIES)
    expect(of('terminate', TERMINATE, { terminate: 'continue' }).terminate).toBe('never')
    expect(of('terminate', TERMINATE).terminate).toBe('never')
    expect(of('log', LOG, { log: 'enabled' })).toEqual(BUILT_IN_POLICIES)
    expect(of('log', LOG, { log: 'disabled' }).log).toBe('never')
  })

  test('may be written with other spaces and quotes, but not within the quotes', () => {
    const loose = "  Signal.terminate==true\n  &&Policy.terminate  ==  'stop' "
    expect(of('terminate', loose, { terminate: 'stop' }).terminate).toBe('signal')
    const other = TERMINATE.replace('stop', 'st op')
    expect(problemsOf(`policies: [{ name: terminate, policy: '${other}' }]`)).toHaveLength(1)
  })

  test('that is true or false holds always or never', () => {
    for (const name of ['terminate', 'log'] as const) {
      expect(of(name, 'true')[name]).toBe('always')
      expect(of(name, ' false ')[name]).toBe('never')
    }
    expect(of('route', 'true').route).toBe('signal')
    expect(of('route', 'false').route).toBe('never')
  })

  test('overwrites the one before it of the same name', () => {
    const never = { name: 'terminate', policy: 'false', metadata: {} }
    const always = { name: 'terminate', policy: 'true', metadata: {} }
    expect(policiesOf([never, always], 'terminate')).toEqual({
      ...BUILT_IN_POLICIES,
      terminate: 'always',
      standard: 'terminate',
    })
  })
})

/** A plugins file, loaded beside a global file that says nothing. */
function load(text: string) {
  const readFile = filesOf({ 'postern.yaml': '{}', 'postern_plugins.yaml': text })
  return loadConfig({ env: {}, readFile })
}

function problemsOf(text: string): readonly string[] {
  try {
    load(text)
    return []
  } catch (thrown) {
    return String(thrown).split('\n')
  }
}

describe('at the check of a file', () => {
  test.each(['terminate', 'log', 'route'])('other expressions for %s are refused', (name) => {
    const [problem, ...more] = problemsOf(`policies:\n  - { name: ${name}, policy: Signal.x }`)
    expect(problem).toContain('postern_plugins.yaml:2')
    expect(problem).toContain(`policies[0] (${name}).policy`)
    expect(problem).toContain('are not acted on yet; refusing to run less safely than asked')
    expect(more).toEqual([])
  })

  test('a signal that is switched off is told of, and so is one that nothing is done about', () => {
    const { notices, plugins } = load(`policies:
  - { name: terminate, policy: 'false' }
  - { name: applaud, policy: Signal.loud }
  - { name: passthrough, policy: Signal.quiet }
  - { name: log, policy: '${LOG}', metadata: { log: enabled } }`)
    const told = notices.filter((notice) => notice.startsWith('policies'))
    expect(told).toEqual([
      'policies[0]: switches the signal "terminate" off; plugins that send it go unheard',
      'policies[1] (applaud): without effect, for there is no action of this name',
    ])
    expect(policiesOf(plugins.policies, plugins.defaultPolicy).log).toBe('signal')
  })

  test('policies and the standard one are acted on, their timeouts are not yet', () => {
    const { notices, plugins } = load(`defaultPolicy: terminate
policyTimeout: 5s
policies: [{ name: terminate, policy: 'true' }]`)
    expect(plugins.defaultPolicy).toBe('terminate')
    const ignored = notices.filter((notice) => notice.includes('not acted on yet'))
    expect(ignored).toEqual(['accepted, not acted on yet: policyTimeout'])
  })
})
