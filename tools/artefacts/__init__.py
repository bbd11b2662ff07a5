"""What the hosts receive. artefacts.toml names the roots, artefacts.lock what they resolved to, with checksums.

products.py   the rows of artefacts.toml, and where everything lies
maven.py      jars
packing.py    one archive of one product
bundle.py     all of it, and what else a lab needs, in one file for machines without a network
__main__.py   the commands: lock, vendor, all
"""
