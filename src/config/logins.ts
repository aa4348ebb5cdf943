/** Checks what no schema can of logins: that the blocks of a group and its server fit together. */
import { isLocal, parseAddress } from '../base/address.ts'
import { type Draft, isMap } from './draft.ts'
import { parseFlag } from './fields.ts'
import { type Problems, shownPath } from './problem.ts'
import { SERVER_ADDRESS } from './schema.ts'
import type { Path } from './shape.ts'

/** Where the gateway logs in by itself, somebody must ask its clients who they are. */
export function checkLogins(draft: Draft, problems: Problems): void {
  for (const group of draft.names('servers')) {
    const blocks = draft.names('clients', group)
    const shared = blocks.filter((block) => isMap(loginOf(draft, group, block)))
    if (shared.length > 0) checkBlocks(draft, group, shared, problems)
    checkAuth(draft, group, shared.length > 0, problems)
  }
}

function loginOf(draft: Draft, group: string, block: string) {
  return draft.at(['clients', group, block, 'startupParams'])
}

function checkBlocks(
  draft: Draft,
  group: string,
  shared: readonly string[],
  problems: Problems,
): void {
  const refuse = (path: Path, message: string): void =>
    problems.add(draft.standing(path).key, path, message)
  for (const block of draft.names('clients', group)) {
    if (shared.includes(block)) continue
    const why = `other blocks of the group have them, and all clients of it log in the same way`
    refuse(['clients', group, block], `clients.${group}.${block} has no startupParams: ${why}`)
  }
  for (const block of shared) {
    const path = ['clients', group, block, 'startupParams']
    const user = draft.at([...path, 'user'])
    if (user === undefined || user === '') refuse(path, `${shownPath(path)} names no user`)
  }
  const [first = '', ...others] = shared.map((block) => databaseOf(draft, group, block))
  const other = others.findIndex((database) => database !== first)
  if (other >= 0) {
    const path = ['clients', group, shared[other + 1]!, 'startupParams']
    refuse(
      path,
      `${shownPath(path)} names another database than the blocks before it; a group has one`,
    )
  }
  if (draft.at(['servers', group, 'protocol']) === 'raw') {
    const path = ['servers', group, 'protocol']
    refuse(path, `servers.${group}.protocol: raw has no logins, so startupParams cannot be used`)
  }
}

function databaseOf(draft: Draft, group: string, block: string): string {
  const login = loginOf(draft, group, block)
  const { user, database } = isMap(login) ? login : {}
  return String(database === undefined || database === '' ? user : database)
}

function checkAuth(draft: Draft, group: string, logsIn: boolean, problems: Problems): void {
  const at = (key: string) => draft.at(['servers', group, key])
  const refuse = (key: string, message: string): void => {
    const path = ['servers', group, key]
    problems.add(draft.standing(path).value, path, `servers.${group}.${key}: ${message}`)
  }
  const auth = at('auth')
  if (typeof auth !== 'string' || auth === '') return
  if (!logsIn) {
    const cure = `give the blocks of clients.${group} startupParams, or leave auth out`
    return refuse('auth', `the database asks its clients itself, so the gateway must not; ${cure}`)
  }
  const authFile = at('authFile')
  if (auth !== 'trust' && (authFile === undefined || authFile === '')) {
    refuse('auth', `${auth} needs users: name their file in servers.${group}.authFile`)
  }
  if (auth !== 'trust' || isTrue(at('authTrustRemote'))) return
  const network = at('network')
  const written = at('address')
  const address = parseAddress(
    typeof written === 'string' ? written : SERVER_ADDRESS,
    typeof network === 'string' ? network : 'tcp',
  )
  if (address === null || isLocal(address)) return
  const cure = 'listen on 127.0.0.1, use scram-sha-256, or say authTrustRemote: true as well'
  refuse('auth', `trust would let in anybody who can reach the address; ${cure}`)
}

function isTrue(value: unknown): boolean {
  return value === true || (typeof value === 'string' && parseFlag(value) === true)
}
