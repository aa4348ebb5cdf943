/** Adds the groups and blocks that are always there, and checks that groups fit together. */
import { checkBalancing } from './balancing.ts'
import { checkNetworks, isUdp } from './datagrams.ts'
import type { Draft, Written } from './draft.ts'
import { isMap } from './draft.ts'
import { nearestName } from './nearest.ts'
import type { Problems } from './problem.ts'
import { shownPath } from './problem.ts'
import { SERVER_ADDRESS } from './schema.ts'
import type { Path } from './shape.ts'

const DEFAULT = 'default'
const WRITES = 'writes'

/**
 * Adds `default` to every kind of group, the block `writes` to a default group of clients that has
 * none, and a pool and a proxy for every client block.
 */
export function addDefaults(draft: Draft): readonly string[] {
  const notices: string[] = []
  if (draft.names('servers').length > 0 && !draft.names('servers').includes(DEFAULT)) {
    notices.push('servers.default is not in the file; it is there all the same, with its defaults')
  }
  for (const kind of ['loggers', 'metrics', 'servers', 'clients', 'pools', 'proxies']) {
    putMissing(draft, [kind, DEFAULT])
  }
  if (draft.names('clients', DEFAULT).length === 0) putMissing(draft, ['clients', DEFAULT, WRITES])
  for (const group of draft.names('clients')) {
    for (const block of draft.names('clients', group)) {
      // Who says nothing of a pool means one connection a client, as many as there are.
      const shares = draft.at(['clients', group, block, 'startupParams']) !== undefined
      if (!shares) putMissing(draft, ['pools', group, block], { mode: 'none' })
      putMissing(draft, ['pools', group, block])
      putMissing(draft, ['proxies', group, block])
    }
  }
  return notices
}

function putMissing(draft: Draft, path: Path, standard: Written = {}): void {
  if (draft.at(path) === undefined) draft.put(path, standard)
}

/** Checks what no schema can: that what one group names is there in another. */
export function checkGroups(draft: Draft, problems: Problems): readonly string[] {
  if (!isMap(draft.at(['clients']))) return []
  checkBlocks(draft, problems)
  const servers = draft.names('servers')
  const notices = servers.flatMap((group) => checkServer(draft, group, problems))
  checkAddresses(draft, problems)
  const unused = draft.names('clients').filter((group) => !servers.includes(group))
  return [
    ...notices,
    ...unused.map((group) => `clients.${group} is used by no server: there is no servers.${group}`),
  ]
}

function checkBlocks(draft: Draft, problems: Problems): void {
  for (const [group, blocks] of draft.entries('clients')) {
    if (isMap(blocks) && Object.keys(blocks).length === 0) {
      const message = `clients.${group} has no blocks; name at least one, such as ${WRITES}`
      problems.add(draft.standing(['clients', group]).key, ['clients', group], message)
    }
  }
  for (const kind of ['pools', 'proxies']) {
    for (const group of draft.names(kind)) {
      for (const block of draft.names(kind, group)) {
        if (draft.at(['clients', group, block]) !== undefined) continue
        const path = [kind, group, block]
        const message = `${shownPath(path)} has no client: there is no clients.${group}.${block}`
        const nearest = nearestName(block, draft.names('clients', group))
        problems.add(draft.standing(path).key, path, message, nearest)
      }
    }
  }
}

function checkServer(draft: Draft, group: string, problems: Problems): readonly string[] {
  checkTls(draft, group, problems)
  checkNetworks(draft, group, problems)
  if (draft.at(['clients', group]) !== undefined) return checkBalancing(draft, group, problems)
  const path = ['servers', group]
  const message = `servers.${group} has no database: there is no clients.${group}`
  const nearest = nearestName(group, draft.names('clients'))
  problems.add(draft.standing(path).key, path, message, nearest)
  return []
}

/** TLS to a database is begun with messages of PostgreSQL. */
function checkTls(draft: Draft, group: string, problems: Problems): void {
  if (String(draft.at(['servers', group, 'protocol'])).toLowerCase() !== 'raw') return
  for (const block of draft.names('clients', group)) {
    const path = ['clients', group, block, 'sslMode']
    const mode = draft.at(path)
    if (typeof mode !== 'string' || mode.toLowerCase() === 'disable') continue
    const message = `${shownPath(path)} must be disable, because servers.${group}.protocol is raw`
    problems.add(draft.standing(path).value, path, message)
  }
}

/** Two servers cannot listen on one address. */
function checkAddresses(draft: Draft, problems: Problems): void {
  const taken = new Map<string, string>()
  for (const group of draft.names('servers')) {
    const path = ['servers', group, 'address']
    const address = draft.at(path)
    const written = typeof address === 'string' ? address : SERVER_ADDRESS
    // Streams and datagrams have ports of their own.
    const place = `${isUdp(draft, ['servers', group])} ${written}`
    const other = taken.get(place)
    if (other === undefined) taken.set(place, group)
    else if (!written.endsWith(':0')) {
      const implied = group === DEFAULT ? ' (servers.default is always there)' : ''
      const message = `servers.${group}.address is also that of servers.${other}${implied}`
      problems.add(draft.standing(path).value, path, message)
    }
  }
}

/** Checks that every plugin has a name of its own. */
export function checkPluginNames(draft: Draft, problems: Problems): void {
  const taken = new Map<string, number>()
  for (const [position] of itemsAt(draft, ['plugins']).entries()) {
    const path = ['plugins', String(position), 'name']
    const name = draft.at(path)
    if (typeof name !== 'string') continue
    const other = taken.get(name)
    if (other === undefined) taken.set(name, position)
    else {
      const message = `${shownPath(path)} is also that of plugins[${other}]; rename one`
      problems.add(draft.standing(path).value, path, message)
    }
  }
}

function itemsAt(draft: Draft, path: readonly string[]): readonly Written[] {
  const value = draft.at(path)
  return Array.isArray(value) ? value : []
}
