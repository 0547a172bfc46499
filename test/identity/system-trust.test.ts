import { join } from 'node:path';
import t from 'tap';
import { systemTrust } from '../../src/identity/system-trust.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';

t.test(
  'the first bundle that has a certificate is the trust of the system, and none is told apart from an empty one',
  async (t) => {
    const { ca } = await createTestMesh('default');
    const folder = t.testdir({ empty: '', text: 'no certificates here', bundle: ca.cert });
    const at = (...names: readonly string[]): string[] => names.map((name) => join(folder, name));
    t.equal(systemTrust(at('missing', 'empty', 'text', 'bundle')), ca.cert);
    t.equal(systemTrust(at('missing', 'empty', 'text')), null);
    t.equal(systemTrust([folder]), null, 'a folder is no bundle');
  },
);
