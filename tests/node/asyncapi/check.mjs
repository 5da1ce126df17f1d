// Reads AsyncAPI documents, a JSON array, on standard input and prints what AsyncAPI's own parser says about each.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const said = [];
for (const document of JSON.parse(readFileSync(0, 'utf8'))) {
  const { diagnostics } = await new Parser().parse(JSON.stringify(document));
  said.push(diagnostics.map(({ message, path, severity }) => ({ message, path: path.join('/'), severity })));
}
process.stdout.write(JSON.stringify(said));
