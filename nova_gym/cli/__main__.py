"""`python -m nova_gym.cli`, the same as `nova-gym`."""

from nova_gym.cli.app import main

main()
