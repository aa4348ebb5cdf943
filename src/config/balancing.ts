/** Checks of the rules by which connections are shared out, beyond what a schema can. */
import type { Draft, Written } from './draft.ts'
import { nearestName } from './nearest.ts'
import { type Problems, shownPath } from './problem.ts'

/** The strategies that look at shares. */
const SHARING: readonly unknown[] = ['WEIGHTED_ROUND_ROBIN', 'LEAST_CONNECTIONS']

/** Checks one server's rules; returns notices about those that are without effect. */
export function checkBalancing(draft: Draft, group: string, problems: Problems): readonly string[] {
  const balancer = ['servers', group, 'loadBalancer']
  const path = [...balancer, 'loadBalancingRules']
  const rules = itemsAt(draft, path)
  for (const position of rules.keys()) {
    checkShares(draft, [...path, String(position), 'distribution'], group, problems)
  }
  if (rules.length === 0) return []
  const strategy = draft.at([...balancer, 'strategy'])
  if (typeof strategy !== 'string' || !SHARING.includes(strategy.toUpperCase())) {
    return [`${shownPath(path)}: without effect, as the strategy is not ${SHARING.join(' or ')}`]
  }
  // DEFAULT, the one condition there is, always holds.
  if (rules.length === 1) return []
  return [`${shownPath(path)}: only the first rule has an effect, for its condition always holds`]
}

/** A rule names blocks that are there, each once. */
function checkShares(
  draft: Draft,
  shares: readonly string[],
  group: string,
  problems: Problems,
): void {
  const blocks = draft.names('clients', group)
  const named = new Set<string>()
  for (const share of itemsAt(draft, shares).keys()) {
    const path = [...shares, String(share), 'proxyName']
    const written = draft.at(path)
    if (typeof written !== 'string') continue
    const name = written.toLowerCase()
    const place = draft.standing(path).value
    if (!blocks.includes(name)) {
      const message = `${shownPath(path)} names no block of clients.${group}`
      problems.add(place, path, message, nearestName(written, blocks))
    } else if (named.has(name)) {
      problems.add(place, path, `${shownPath(path)} names "${name}" again; give it one weight`)
    }
    named.add(name)
  }
}

function itemsAt(draft: Draft, path: readonly string[]): readonly Written[] {
  const value = draft.at(path)
  return Array.isArray(value) ? value : []
}
