from nova_gym.version import __version__
