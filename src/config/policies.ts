/**
 * The policies of a plugins file: what is done about the signals that plugins report. There is no
 * engine for their expressions yet, so that only GatewayD's own ones, `true` and `false` are taken.
 */
import { type Draft, isMap } from './draft.ts'
import { type Problems, shownPath } from './problem.ts'

/** `signal`: holds where the signal itself says so. */
export type Rule = 'signal' | 'always' | 'never'

/** One rule for each signal that something is done about. */
export interface Policies {
  readonly terminate: Rule
  readonly log: Rule
  readonly route: Rule
  /** The signal that a result without any is taken to have. */
  readonly standard: 'passthrough' | 'terminate'
}

/** The policies where no file says otherwise. */
export const BUILT_IN_POLICIES: Policies = {
  terminate: 'signal',
  log: 'signal',
  route: 'signal',
  standard: 'passthrough',
}

type Ruled = 'terminate' | 'log' | 'route'

/** GatewayD's expressions; `route` is ours, and always holds. */
const EXPRESSIONS: Readonly<Record<Ruled, string>> = {
  terminate: 'Signal.terminate == true && Policy.terminate == "stop"',
  log: 'Signal.log == true && Policy.log == "enabled"',
  route: 'true',
}
/** What the metadata of a policy must say for the built-in expression to hold. */
const ENABLED: Readonly<Record<Ruled, readonly [key: string, value: unknown] | null>> = {
  terminate: ['terminate', 'stop'],
  log: ['log', 'enabled'],
  route: null,
}

/** A policy as it stands in the file. */
export interface WrittenPolicy {
  readonly name: string
  readonly policy: string
  readonly metadata: Readonly<Record<string, unknown>>
}

function isRuled(name: string): name is Ruled {
  return Object.hasOwn(EXPRESSIONS, name)
}

/** Without the spaces between words; those within quotes count. */
function bare(expression: string): string {
  return expression.replace(/("[^"]*"|'[^']*')|\s+/g, (_, quoted?: string) =>
    quoted === undefined ? '' : `"${quoted.slice(1, -1)}"`,
  )
}

/** The rule of a policy; null where its expression is one that cannot be evaluated. */
function ruleOf(name: Ruled, policy: string, metadata: WrittenPolicy['metadata']): Rule | null {
  const expression = bare(policy)
  if (expression === bare(EXPRESSIONS[name])) {
    const enabled = ENABLED[name]
    return enabled === null || metadata[enabled[0]] === enabled[1] ? 'signal' : 'never'
  }
  if (expression === 'true') return 'always'
  return expression === 'false' ? 'never' : null
}

/** What the policies of a file come to; the last of a name counts. They must have been checked. */
export function policiesOf(
  written: readonly WrittenPolicy[],
  standard: Policies['standard'],
): Policies {
  const rules = { ...BUILT_IN_POLICIES, standard }
  for (const { name, policy, metadata } of written) {
    if (isRuled(name)) rules[name] = ruleOf(name, policy, metadata) ?? rules[name]
  }
  return rules
}

/**
 * Refuses expressions that cannot be evaluated: what they were to stop must not pass in silence.
 * Returns sentences about what should be known.
 */
export function checkPolicies(draft: Draft, problems: Problems): readonly string[] {
  const notices: string[] = []
  const written = draft.at(['policies'])
  if (!Array.isArray(written)) return []
  for (const [position, entry] of written.entries()) {
    const { name, policy, metadata = {} } = isMap(entry) ? entry : {}
    if (typeof name !== 'string' || typeof policy !== 'string') continue
    const place = shownPath(['policies', String(position)])
    if (!isRuled(name)) {
      // Of `passthrough` nothing comes, whether it holds or not.
      if (name === 'passthrough') continue
      notices.push(`${place} (${name}): without effect, for there is no action of this name`)
      continue
    }
    const rule = ruleOf(name, policy, isMap(metadata) ? metadata : {})
    if (rule === null) {
      const known = `other expressions than true, false and ${EXPRESSIONS[name]}`
      const path = ['policies', String(position), 'policy']
      const message = `${place} (${name}).policy: ${known} are not acted on yet`
      const why = 'refusing to run less safely than asked'
      problems.add(draft.standing(path).value, path, `${message}; ${why}`)
    } else if (rule === 'never') {
      notices.push(`${place}: switches the signal "${name}" off; plugins that send it go unheard`)
    }
  }
  return notices
}
