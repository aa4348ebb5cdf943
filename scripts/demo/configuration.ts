/** The example configuration of the demo: two files, as one would write them by hand. */
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What the files name. Paths are whole, so that the files work from any folder. */
export interface Places {
  readonly folder: string
  readonly listen: string
  readonly metrics: string
  readonly upstream: string
  /** The plugins' files. */
  readonly audit: string
  readonly guard: string
}

export interface ConfigurationFiles {
  readonly config: string
  readonly plugins: string
  readonly log: string
}

/** Writes both files over those of the last demo, whose log goes too. */
export function writeConfiguration(places: Places): ConfigurationFiles {
  const { folder } = places
  mkdirSync(folder, { recursive: true })
  const files = {
    config: join(folder, 'postern.yaml'),
    plugins: join(folder, 'postern_plugins.yaml'),
    log: join(folder, 'postern.log'),
  }
  rmSync(files.log, { force: true })
  writeFileSync(files.config, configText(places, files.log))
  writeFileSync(files.plugins, pluginsText(places))
  // The gateway refuses an executable that others may write; some accounts make such files.
  chmodSync(places.guard, 0o755)
  return files
}

/** A text as YAML takes it whatever is in it. */
const quoted = (text: string): string => JSON.stringify(text)

const sha256 = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex')

function configText({ listen, metrics, upstream }: Places, log: string): string {
  return `# The global file of a gateway in front of one PostgreSQL.
# "postern config lint -c FILE -p FILE" checks it; keys left out have their defaults.

loggers:
  default:
    output: [file] # console, stdout, stderr, file; several at once are possible
    fileName: ${quoted(log)}
    level: info

metrics:
  default:
    address: ${metrics} # Prometheus text under /metrics, and /healthz, /readyz

clients: # the databases, by group and block
  default:
    writes:
      address: ${upstream}

servers: # where clients connect, by the same group
  default:
    address: ${listen}
    protocol: postgres # or raw, for any other TCP service
    sessionsMax: 100
    loginTimeout: 30s

drainTimeout: 5s # how long clients may finish when the gateway stops
`
}

function pluginsText({ audit, guard }: Places): string {
  return `# The plugins file. A plugin's place in the list is its place in every hook.
# "postern plugin checksum FILE" prints what a checksum must be; another file is not started.

timeout: 5s # longest call of a hook

plugins:
  # A WebAssembly module: logs and counts every statement by kind and table.
  - name: audit
    localPath: ${quoted(audit)}
    checksum: ${sha256(audit)}
    config:
      level: info

  # An executable, spoken to over gRPC: refuses what drops or empties a table.
  - name: guard
    localPath: ${quoted(guard)}
    checksum: ${sha256(guard)}
    onFailure: closed # without its answer nothing passes; "open" would let it pass
`
}
