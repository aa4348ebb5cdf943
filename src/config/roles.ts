/** Checks what no schema can of roles: that the gateway can ask a database for the one it has. */
import { type Draft, isMap } from './draft.ts'
import { type Problems, shownPath } from './problem.ts'
import type { Path } from './shape.ts'

/** Checks the blocks of all groups; returns notices about keys that are without effect. */
export function checkRoles(draft: Draft, problems: Problems): readonly string[] {
  return draft
    .names('clients')
    .flatMap((group) =>
      draft.names('clients', group).flatMap((block) => checkBlock(draft, group, block, problems)),
    )
}

function checkBlock(
  draft: Draft,
  group: string,
  block: string,
  problems: Problems,
): readonly string[] {
  const at = ['clients', group, block]
  const path = [...at, 'role']
  const role = draft.at(path)
  const probeParams = draft.at([...at, 'probeParams'])
  if (typeof role !== 'string' || role.toLowerCase() === 'any') {
    if (probeParams === undefined) return []
    return [`${shownPath([...at, 'probeParams'])}: without effect, as ${shownPath(path)} is any`]
  }
  const refuse = (place: Path, message: string): void =>
    problems.add(draft.standing(place).value, place, `${shownPath(place)}: ${message}`)
  const named = `${role.toLowerCase()}`
  if (String(draft.at(['servers', group, 'protocol'])).toLowerCase() === 'raw') {
    refuse(path, `${named} is for PostgreSQL, and servers.${group}.protocol is raw`)
  } else if (probeParams !== undefined) {
    if (!namesUser(probeParams)) refuse([...at, 'probeParams'], 'it names no user')
  } else if (!namesUser(draft.at([...at, 'startupParams']))) {
    const why = 'the gateway must log in to ask a database whether it is that'
    refuse(path, `${named}: ${why}; set ${shownPath([...at, 'probeParams'])} (user, password)`)
  }
  return []
}

function namesUser(params: unknown): boolean {
  if (!isMap(params)) return false
  const { user } = params
  return typeof user === 'string' && user !== ''
}
